from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from facekd.data.loading.augmentation import Flip
from facekd.data.loading.loader import Batch, Loader
from facekd.data.opening import open_faces
from facekd.methods.search.budget import Budget
from facekd.methods.search.method import ChannelSearch
from facekd.models.architectures.resnet_cifar import ResNet
from facekd.models.architectures.resnet_pruned import Layout
from facekd.models.registry import create
from facekd.route.teacher import Teacher
from facekd.types import ModelOutput


class TableTeacher(Teacher):
    """Random outputs, one row an image; they require a gradient, so that a gradient to the teacher is noticed."""

    def __init__(self) -> None:
        self.dimension = 8
        self.values = torch.randn(48, 8, generator=torch.Generator().manual_seed(0)).requires_grad_()

    def forward(self, batch: Batch) -> ModelOutput:
        return ModelOutput(self.values[batch.index])


def macs(layout: Layout) -> float:
    return layout.count_macs(32, 8)


def parameters(layout: Layout) -> float:
    return layout.count_parameters(8)


def make(temperature: float | None = 4.0, cost: Callable[[Layout], float] = macs, limit: float = 6e6,
         sparsity: float = 0.01, step_size: float = 0.5, teacher: Teacher | None = None
         ) -> ChannelSearch:
    torch.manual_seed(0)
    network = create("resnet8", size=32, outputs=8)
    assert isinstance(network, ResNet)
    return ChannelSearch(network, teacher or TableTeacher(), temperature=temperature, sparsity=sparsity,
                         drop_blocks=True, budget=Budget(cost, limit), step_size=lambda progress: step_size,
                         gate_lr_scale=10.0, epochs=5)


@pytest.fixture(scope="module")
def batch(small_faces: Path) -> Batch:
    return next(Loader(open_faces(small_faces), 32, batch_size=8, seed=0, augmentation=Flip()).iter_epoch(0))


def gate_values(search: ChannelSearch) -> list[Tensor]:
    return [gate.detach().clone() for gate, _ in search.gates.prunable_gates()]


def test_logits_are_compared_by_kl(batch: Batch) -> None:
    search = make(3.0)
    outputs = search.gates(search.student, search.student.preprocess(batch.images)).detach().double().numpy() / 3
    target = TableTeacher().values[batch.index].detach().double().numpy() / 3
    log_p, log_q = (x - np.log(np.exp(x).sum(1, keepdims=True)) for x in (target, outputs))
    truth = 9 * (np.exp(log_p) * (log_p - log_q)).sum(1).mean()
    assert float(search.losses(batch, 0.0)["distance"].detach()) == pytest.approx(truth, rel=1e-5)


def test_embeddings_are_compared_by_their_angle(batch: Batch) -> None:
    search = make(None)
    outputs = search.gates(search.student, search.student.preprocess(batch.images)).detach().double().numpy()
    target = TableTeacher().values[batch.index].detach().double().numpy()
    cosines = (outputs * target).sum(1) / np.linalg.norm(outputs, axis=1) / np.linalg.norm(target, axis=1)
    assert float(search.losses(batch, 0.0)["distance"].detach()) == pytest.approx(1 - cosines.mean(), rel=1e-5)


@pytest.mark.parametrize("cost", [macs, parameters])
def test_gates_weigh_what_a_channel_or_a_block_saves_and_their_mean_is_1(cost: Callable[[Layout], float]) -> None:
    search = make(cost=cost, limit=1e3)
    search.shrink(1.0)
    decrements = [(1 - gate.min()).item() / 0.01 for gate in gate_values(search)]
    counts = [gate.numel() for gate in gate_values(search)]
    full = "16/16:16/32:32/64:64"
    one_less = ["15/15:16/32:32/64:64", "16/16:16/31:32/64:64", "16/16:16/32:32/63:64", "16/16:15/32:32/64:64",
                "16/16:16/32:31/64:64", "16/16:16/32:32/64:63"]
    savings = [cost(Layout.parse(full)) - cost(Layout.parse(plan)) for plan in one_less]
    savings.append(cost(Layout.parse(full)) - cost(Layout.parse("16/16:-/32:32/64:64")))
    mean = sum(s * c for s, c in zip(savings, counts, strict=True)) / sum(counts)
    assert decrements == pytest.approx([s / mean for s in savings], rel=1e-3)


def test_the_penalty_is_logged_and_has_no_gradient(batch: Batch) -> None:
    search = make()
    terms = search.losses(batch, 0.0)
    assert not terms["sparsity"].requires_grad
    assert float(terms["sparsity"]) == pytest.approx(0.01 * sum(gate.numel() for gate in gate_values(search)), rel=1e-5)


def test_a_proximal_step_is_soft_thresholding_and_spares_the_eight_largest() -> None:
    search = make()
    stage_gates = search.gates.stage_gates[1]
    stage_gates.data = torch.linspace(-0.01, 1, 32)
    before = stage_gates.detach().double().numpy().copy()
    weight = next(w for gate, w in search.weighted_gates if gate is stage_gates)
    search.shrink(10.0)
    truth = np.maximum(before - 10 * 0.01 * weight, 0)
    truth[-8:] = before[-8:]
    np.testing.assert_allclose(stage_gates.detach().numpy(), truth, rtol=1e-5, atol=1e-7)
    assert (stage_gates == 0).any()


def test_gates_are_shrunk_after_the_optimizers_step(batch: Batch) -> None:
    search = make()
    (closure,) = search.optimizer_passes(batch, 0.0)
    closure()
    assert all((gate == 1).all() for gate in gate_values(search))
    search.after_step(0.0)
    assert all((gate < 1).any() for gate in gate_values(search))


def step(search: ChannelSearch, batch: Batch, optimizer: torch.optim.Optimizer) -> None:
    (closure,) = search.optimizer_passes(batch, 0.0)
    optimizer.zero_grad()
    torch.stack(list(closure().values())).sum().backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    search.after_step(0.0)


def test_once_the_budget_is_met_gates_are_fixed_and_weights_are_not(batch: Batch) -> None:
    search = make(limit=9e6, step_size=1.0, sparsity=0.05)
    optimizer = torch.optim.SGD([p for p in search.parameters() if p.requires_grad], lr=0.01, momentum=0.9)
    for _ in range(30):
        step(search, batch, optimizer)
    assert float(search.budget_met) == 1 and 7e6 < macs(search.gates.layout()) <= 9e6
    fixed, weights = gate_values(search), search.student.fc.weight.detach().clone()
    step(search, batch, optimizer)
    assert all(torch.equal(a, b) for a, b in zip(fixed, gate_values(search), strict=True))
    assert not torch.equal(weights, search.student.fc.weight)


def test_no_gate_falls_below_0() -> None:
    search = make()
    search.gates.inner_gates[0].data[3] = -0.5
    search.gates.inner_gates[1].data[:-4] = -0.5  # fewer above 0 than the minimum of open gates
    search.shrink(0.0)
    assert search.gates.inner_gates[0][3] == 0
    assert min(gate.min() for gate in gate_values(search)) == 0


def test_lambda_doubles_after_epochs_above_the_budget() -> None:
    search = make()
    search.on_epoch_end(1)
    search.on_epoch_end(2)
    search.budget = Budget(macs, 1e9)
    search.shrink(0.0)
    search.on_epoch_end(3)
    cost = macs(search.gates.full_layout)
    assert search.history[:3].tolist() == [pytest.approx([lam, cost]) for lam in (0.01, 0.02, 0.04)]
    assert float(search.sparsity) == pytest.approx(0.04)


def test_the_state_holds_gates_and_lambda_and_no_teacher(batch: Batch) -> None:
    first, second = make(), make()
    first.shrink(3.0)
    first.on_epoch_end(1)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    assert all(torch.equal(a, b) for a, b in zip(gate_values(first), gate_values(second), strict=True))
    assert (float(second.sparsity), second.history[0].tolist()) == (float(first.sparsity), first.history[0].tolist())
    assert {key.partition(".")[0] for key in first.state_dict()} == {
        "student", "gates", "sparsity", "budget_met", "history"}


def test_the_scales_of_norms_are_frozen(batch: Batch) -> None:
    search = make()
    torch.stack(list(search.losses(batch, 0.0).values())).sum().backward()  # type: ignore[no-untyped-call]
    assert search.student.bn1.weight.grad is None and search.student.bn1.bias.grad is not None


def test_no_gradient_reaches_the_teacher(batch: Batch) -> None:
    teacher = TableTeacher()
    search = make(teacher=teacher)
    torch.stack(list(search.losses(batch, 0.0).values())).sum().backward()  # type: ignore[no-untyped-call]
    assert teacher.values.grad is None


def test_a_block_stays_where_the_others_could_not_use_up_the_budget() -> None:
    without = macs(Layout.parse("16/16:-/32:32/64:64"))
    going, staying = make(limit=without - 1, sparsity=10.0), make(limit=without, sparsity=10.0)
    for search in (going, staying):
        search.shrink(1.0)
    assert [str(search.gates.layout()) for search in (going, staying)] == ["8/8:-/8:8/8:8", "8/8:8/8:8/8:8"]
    assert staying.gates.block_gates[0].item() == 1
