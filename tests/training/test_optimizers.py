"""Optimizers against their formulas, with and without fused kernels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from facekd.config import TrainingRecipe
from facekd.data.loading.loader import Batch
from facekd.training import optimizers
from facekd.training.method import Method
from facekd.training.optimizers import build_optimizer

CPU = torch.device("cpu")


class Toy(Method):
    """Two weights that decay, and one that does not."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.student = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Linear(4, 5, bias=False))

    def losses(self, batch: Batch, progress: float) -> dict[str, Tensor]:
        raise NotImplementedError


def trained(steps: int = 6, without: Sequence[int] = (), **values: Any) -> list[Tensor]:
    """Weights after steps on random gradients; the first weight has none in the steps of ``without``."""
    toy = Toy()
    toy.student.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = build_optimizer(toy, TrainingRecipe(weight_decay=0.01, **values), CPU)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 0.1 * (step + 1)
        for weight, gradient in zip(toy.parameters(), gradients(step), strict=True):
            weight.grad = torch.empty_like(weight).copy_(gradient)
        if step in without:
            next(toy.parameters()).grad = None
        optimizer.step()
    return [weight.detach() for weight in toy.parameters()]


def gradients(step: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(step)
    return [torch.randn(weight.shape, generator=generator) for weight in Toy().parameters()]


def test_adamw_is_the_papers_formula_in_float64() -> None:
    truth = [weight.detach().double() for weight in Toy().parameters()]
    means, squares = [torch.zeros_like(w) for w in truth], [torch.zeros_like(w) for w in truth]
    for step in range(6):
        rate = 0.1 * (step + 1)
        for weight, mean, square, gradient in zip(truth, means, squares, gradients(step), strict=True):
            mean.mul_(0.8).add_(0.2 * gradient.double())
            square.mul_(0.999).add_(0.001 * gradient.double() ** 2)
            update = mean / (1 - 0.8 ** (step + 1)) / ((square / (1 - 0.999 ** (step + 1))).sqrt() + 1e-8)
            weight.sub_(rate * update + rate * (0.01 * weight if weight.ndim > 1 else 0))
    for actual, expected in zip(trained(optimizer="adamw", momentum=0.8), truth, strict=True):
        torch.testing.assert_close(actual.double(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("without", [(), (0, 1), (3,)])
def test_fused_sgd_is_torchs_plain_one_whenever_a_weight_gets_its_first_gradient(
    monkeypatch: pytest.MonkeyPatch, without: Sequence[int]
) -> None:
    monkeypatch.setitem(optimizers.FUSED_DEVICES, "sgd", ("cpu",))
    toy = Toy()
    decaying, others = ([w for w in toy.parameters() if (w.ndim > 1) == wanted] for wanted in (True, False))
    groups: list[dict[str, Any]] = [{"params": decaying, "weight_decay": 0.01}, {"params": others}]
    plain = torch.optim.SGD(groups, momentum=0.9, foreach=False)
    for step in range(6):
        for group in plain.param_groups:
            group["lr"] = 0.1 * (step + 1)
        for weight, gradient in zip(toy.parameters(), gradients(step), strict=True):
            weight.grad = gradient
        if step in without:
            next(toy.parameters()).grad = None
        plain.step()
    for actual, expected in zip(trained(without=without), toy.parameters(), strict=True):
        torch.testing.assert_close(actual, expected.detach(), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(("optimizer", "fused"), [("sgd", False), ("adamw", True)])
def test_sgd_keeps_its_bits_on_a_cpu_and_adamw_is_fused(optimizer: str, fused: bool) -> None:
    built = build_optimizer(Toy(), TrainingRecipe.model_validate({"optimizer": optimizer}), CPU)
    assert [group["fused"] for group in built.param_groups] == [fused, fused]


def test_submodules_have_their_lr_scale() -> None:
    toy = Toy()
    toy.lr_scales = {"head": 0.25}
    toy.add_module("head", nn.Linear(2, 2))
    optimizer = build_optimizer(toy, TrainingRecipe(), CPU)
    scales = {id(weight): group["lr_scale"] for group in optimizer.param_groups for weight in group["params"]}
    assert {scales[id(weight)] for weight in toy.student.parameters()} == {1.0}
    assert {scales[id(weight)] for weight in toy.get_submodule("head").parameters()} == {0.25}


@pytest.mark.parametrize(("decay_all", "bias_decay"), [(False, 0.0), (True, 0.01)])
def test_vectors_decay_where_all_do(decay_all: bool, bias_decay: float) -> None:
    toy = Toy()
    optimizer = build_optimizer(toy, TrainingRecipe(weight_decay=0.01, decay_all=decay_all), CPU)
    decays = {weight.ndim > 1: group["weight_decay"] for group in optimizer.param_groups for weight in group["params"]}
    assert decays == {True: 0.01, False: bias_decay}
