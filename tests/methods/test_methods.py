"""The properties that the trainer expects of every method; a new loss is tested as soon as it is registered."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from facekd.data.loading.loader import Batch
from facekd.losses import get_loss_class
from facekd.training.method import Method, Stage
from tests.methods.cases import LOADER, METHODS, TEACHERS

SLOW = {"vid", "nkd"}
"""Losses whose minimum is far above 0: a variance that must be learned first, or the teacher's own entropy."""


@pytest.fixture(scope="module")
def batch() -> Batch:
    return next(LOADER.iter_epoch(0))


@pytest.fixture(params=METHODS)
def make(request: pytest.FixtureRequest) -> Callable[[int], Method]:
    def make_with_seed(seed: int) -> Method:
        torch.manual_seed(seed)
        method = METHODS[request.param]()
        method.on_stage_start(Stage(1, (0,)))
        return method

    return make_with_seed


def total(method: Method, batch: Batch) -> Tensor:
    passes = method.optimizer_passes(batch, 0.5)
    return torch.stack([term for closure in passes for term in closure().values()]).sum()


def test_losses_are_float32_scalars(make: Callable[[int], Method], batch: Batch) -> None:
    passes = [closure() for closure in make(0).optimizer_passes(batch, 0.0)]
    assert passes and all(passes)
    assert all((value.shape, value.dtype) == ((), torch.float32) for terms in passes for value in terms.values())


def test_losses_are_float32_scalars_under_autocast(make: Callable[[int], Method], batch: Batch) -> None:
    method = make(0)
    with torch.autocast("cpu", torch.bfloat16):
        losses = method.losses(batch, 0.0)
    assert all((v.shape, v.dtype, bool(v.isfinite())) == ((), torch.float32, True) for v in losses.values())


def test_a_few_steps_lower_the_loss(make: Callable[[int], Method], batch: Batch) -> None:
    method = make(0)
    optimizer = torch.optim.SGD(method.parameters(), lr=0.02, momentum=0.9)
    first = float(total(method, batch).detach())
    for _ in range(10):
        optimizer.zero_grad()
        total(method, batch).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(method.parameters(), 5)
        optimizer.step()
    is_slow = set(method.losses(batch, 0.5)) <= SLOW | {"labels"}
    assert float(total(method, batch).detach()) < (0.99 if is_slow else 0.9) * first


def test_every_parameter_takes_part_unless_it_lies_behind_the_last_map(
    make: Callable[[int], Method], batch: Batch
) -> None:
    method = make(0)
    losses = method.losses(batch, 0.5)
    total(method, batch).backward()  # type: ignore[no-untyped-call]
    idle = {name for name, p in method.named_parameters() if p.requires_grad and p.grad is None}
    if all(name != "labels" and get_loss_class(name).needs_feature_maps for name in losses):
        idle = {name for name in idle if not name.startswith("student.")}
    assert idle == set()


def test_the_state_round_trips(make: Callable[[int], Method], batch: Batch) -> None:
    first, second = make(0).eval(), make(1).eval()
    assert not torch.equal(total(first, batch), total(second, batch))
    second.load_state_dict(first.state_dict())
    assert torch.equal(total(first, batch), total(second, batch))


def test_the_student_is_part_of_the_state_and_the_teacher_is_not(make: Callable[[int], Method]) -> None:
    method = make(0)
    modules = {name.partition(".")[0] for name in method.state_dict()}
    assert "student" in modules
    assert modules <= {"student", "head", "projection", "distillation_losses", "pretrained_for", "joint_teacher",
                       "joint_teacher_head", "teacher_losses", "beta"}


def test_no_gradient_reaches_the_teacher(make: Callable[[int], Method], batch: Batch) -> None:
    total(make(0), batch).backward()  # type: ignore[no-untyped-call]
    assert {leaf.grad for teacher in TEACHERS.values() for leaf in teacher.leaves} == {None}
