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
from facekd.methods.search.method import Search
from facekd.models.architectures.resnet_cifar import ResNet
from facekd.models.architectures.resnet_pruned import Layout
from facekd.models.registry import create
from facekd.route.teacher import Teacher
from facekd.types import Answer


class Table(Teacher):
    def __init__(self) -> None:
        self.dimension = 8
        self.values = torch.randn(48, 8, generator=torch.Generator().manual_seed(0)).requires_grad_()

    def answer(self, batch: Batch) -> Answer:
        return Answer(self.values[batch.index])


def macs(layout: Layout) -> float:
    return layout.macs(32, 8)


def parameters(layout: Layout) -> float:
    return layout.parameters(8)


def make(temperature: float | None = 4.0, price: Callable[[Layout], float] = macs, limit: float = 6e6,
         sparsity: float = 0.01, rate: float = 0.5) -> Search:
    torch.manual_seed(0)
    network = create("resnet8", size=32, outputs=8)
    assert isinstance(network, ResNet)
    return Search(network, Table(), temperature, sparsity, True, Budget(price, limit),
                  lambda done: rate, 10.0, 5)


@pytest.fixture(scope="module")
def batch(small_faces: Path) -> Batch:
    return next(Loader(open_faces(small_faces), 32, 8, 0, Flip()).epoch(0))


def gates(search: Search) -> list[Tensor]:
    return [gate.detach().clone() for gate, _ in search.gates.vectors()]


def test_logits_are_compared_by_kl(batch: Batch) -> None:
    search = make(3.0)
    own = search.gates(search.student, search.student.inputs(batch.images)).detach().double().numpy() / 3
    target = Table().values[batch.index].detach().double().numpy() / 3
    log_p, log_q = (x - np.log(np.exp(x).sum(1, keepdims=True)) for x in (target, own))
    truth = 9 * (np.exp(log_p) * (log_p - log_q)).sum(1).mean()
    assert float(search.losses(batch, 0.0)["distance"].detach()) == pytest.approx(truth, rel=1e-5)


def test_embeddings_are_compared_by_their_angle(batch: Batch) -> None:
    search = make(None)
    own = search.gates(search.student, search.student.inputs(batch.images)).detach().double().numpy()
    target = Table().values[batch.index].detach().double().numpy()
    cosines = (own * target).sum(1) / np.linalg.norm(own, axis=1) / np.linalg.norm(target, axis=1)
    assert float(search.losses(batch, 0.0)["distance"].detach()) == pytest.approx(1 - cosines.mean(), rel=1e-5)


@pytest.mark.parametrize("price", [macs, parameters])
def test_gates_weigh_what_a_channel_or_a_block_saves_and_their_mean_is_1(price: Callable[[Layout], float]) -> None:
    search = make(price=price, limit=1e3)
    search.shrink(1.0)
    rates = [(1 - gate.min()).item() / 0.01 for gate in gates(search)]
    counts = [gate.numel() for gate in gates(search)]
    full = "16/16:16/32:32/64:64"
    one_less = ["15/15:16/32:32/64:64", "16/16:16/31:32/64:64", "16/16:16/32:32/63:64", "16/16:15/32:32/64:64",
                "16/16:16/32:31/64:64", "16/16:16/32:32/64:63"]
    saved = [price(Layout.parse(full)) - price(Layout.parse(plan)) for plan in one_less]
    saved.append(price(Layout.parse(full)) - price(Layout.parse("16/16:-/32:32/64:64")))
    mean = sum(s * c for s, c in zip(saved, counts, strict=True)) / sum(counts)
    assert rates == pytest.approx([s / mean for s in saved], rel=1e-3)


def test_the_penalty_is_logged_and_has_no_gradient(batch: Batch) -> None:
    search = make()
    terms = search.losses(batch, 0.0)
    assert not terms["sparsity"].requires_grad
    assert float(terms["sparsity"]) == pytest.approx(0.01 * sum(gate.numel() for gate in gates(search)), rel=1e-5)


def test_a_proximal_step_is_soft_thresholding_and_spares_the_eight_largest() -> None:
    search = make()
    shared = search.gates.shared[1]
    shared.data = torch.linspace(-0.01, 1, 32)
    before = shared.detach().double().numpy().copy()
    weight = next(w for gate, w in search._gates if gate is shared)
    search.shrink(10.0)
    truth = np.maximum(before - 10 * 0.01 * weight, 0)
    truth[-8:] = before[-8:]
    np.testing.assert_allclose(shared.detach().numpy(), truth, rtol=1e-5, atol=1e-7)
    assert (shared == 0).any()


def test_gates_are_shrunk_after_the_optimisers_step(batch: Batch) -> None:
    search = make()
    (turn,) = search.turns(batch, 0.0)
    turn()
    assert all((gate == 1).all() for gate in gates(search))
    search.stepped(0.0)
    assert all((gate < 1).any() for gate in gates(search))


def step(search: Search, batch: Batch, optimizer: torch.optim.Optimizer) -> None:
    (turn,) = search.turns(batch, 0.0)
    optimizer.zero_grad()
    torch.stack(list(turn().values())).sum().backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    search.stepped(0.0)


def test_once_the_budget_is_reached_gates_rest_and_weights_do_not(batch: Batch) -> None:
    search = make(limit=9e6, rate=1.0, sparsity=0.05)
    optimizer = torch.optim.SGD([p for p in search.parameters() if p.requires_grad], lr=0.01, momentum=0.9)
    for _ in range(30):
        step(search, batch, optimizer)
    assert float(search.met) == 1 and 7e6 < macs(search.gates.layout()) <= 9e6
    rested, weights = gates(search), search.student.fc.weight.detach().clone()
    step(search, batch, optimizer)
    assert all(torch.equal(a, b) for a, b in zip(rested, gates(search), strict=True))
    assert not torch.equal(weights, search.student.fc.weight)


def test_no_gate_falls_below_0() -> None:
    search = make()
    search.gates.inner[0].data[3] = -0.5
    search.gates.inner[1].data[:-4] = -0.5  # fewer above 0 than stay in any case
    search.shrink(0.0)
    assert search.gates.inner[0][3] == 0
    assert min(gate.min() for gate in gates(search)) == 0


def test_lambda_doubles_after_epochs_above_the_budget() -> None:
    search = make()
    search.epoch_ends(1)
    search.epoch_ends(2)
    search.budget = Budget(macs, 1e9)
    search.shrink(0.0)
    search.epoch_ends(3)
    assert search.history[:3].tolist() == [pytest.approx([lam, macs(search.gates.full)]) for lam in (.01, .02, .04)]
    assert float(search.sparsity) == pytest.approx(0.04)


def test_the_state_holds_gates_and_lambda_and_no_teacher(batch: Batch) -> None:
    one, other = make(), make()
    one.shrink(3.0)
    one.epoch_ends(1)
    other.load_state_dict(copy.deepcopy(one.state_dict()))
    assert all(torch.equal(a, b) for a, b in zip(gates(one), gates(other), strict=True))
    assert (float(other.sparsity), other.history[0].tolist()) == (float(one.sparsity), one.history[0].tolist())
    assert {key.partition(".")[0] for key in one.state_dict()} == {
        "student", "gates", "sparsity", "met", "history"}


def test_the_scales_of_norms_rest(batch: Batch) -> None:
    search = make()
    torch.stack(list(search.losses(batch, 0.0).values())).sum().backward()  # type: ignore[no-untyped-call]
    assert search.student.bn1.weight.grad is None and search.student.bn1.bias.grad is not None


def test_no_gradient_reaches_the_teacher(batch: Batch) -> None:
    search = make()
    torch.stack(list(search.losses(batch, 0.0).values())).sum().backward()  # type: ignore[no-untyped-call]
    assert isinstance(search._teacher, Table) and search._teacher.values.grad is None


def test_a_block_stays_where_the_others_could_not_use_up_the_budget() -> None:
    without = macs(Layout.parse("16/16:-/32:32/64:64"))
    going, staying = make(limit=without - 1, sparsity=10.0), make(limit=without, sparsity=10.0)
    for search in (going, staying):
        search.shrink(1.0)
    assert [str(search.gates.layout()) for search in (going, staying)] == ["8/8:-/8:8/8:8", "8/8:8/8:8/8:8"]
    assert staying.gates.kept[0].item() == 1
