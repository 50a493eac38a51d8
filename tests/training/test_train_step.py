"""One training step: clipping, optimizer passes, learning-rate factors and gradient accumulation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from facekd.data.loading.loader import Batch, Loader
from facekd.run import Run
from facekd.training.method import Stage
from tests.training.toy import Linear, Pair, build_trainer, double_batches


def test_gradients_are_clipped(tmp_path: Path, loader: Loader) -> None:
    method, before = Linear(), Linear()
    build_trainer(tmp_path, method, loader, [Stage(1 / 12)], clip_grad_norm=1e-3, lr_schedule="constant").fit()
    moved = torch.cat([(a - b).flatten() for a, b in
                       ((method.student.weight, before.student.weight * (1 - 0.5 * 0.01)),
                        (method.student.bias, before.student.bias))])
    assert float(moved.detach().norm()) == pytest.approx(0.5 * 1e-3, rel=1e-3)


class LinearWithHead(Linear):
    """Its head's gradients are a million times the student's."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3, 8)

    def losses(self, batch: Batch, progress: float) -> dict[str, Tensor]:
        return {**super().losses(batch, progress), "head": 1e6 * self.head(torch.ones(3)).sum()}


def test_a_head_with_large_gradients_leaves_the_students_clipping_alone(tmp_path: Path, loader: Loader) -> None:
    alone, with_head = Linear(), LinearWithHead()
    for method, name in ((alone, "alone"), (with_head, "with_head")):
        build_trainer(tmp_path / name, method, loader, [Stage(0.5)], clip_grad_norm=0.1).fit()
    assert torch.equal(alone.student.weight, with_head.student.weight)


def pair_by_hand(loader: Loader, steps: int) -> Pair:
    """Train each by an SGD of its own, the student's step after the teacher's."""
    pair = Pair()
    optimizers = []
    for part in (pair.teacher, pair.student):
        groups: list[dict[str, Any]] = [{"params": [part.weight], "weight_decay": 0.01}, {"params": [part.bias]}]
        optimizers.append(torch.optim.SGD(groups, lr=0.5, momentum=0.9))
    for batch in list(loader.iter_epoch(0))[:steps]:
        for optimizer, closure in zip(optimizers, pair.optimizer_passes(batch, 0.0), strict=True):
            optimizer.zero_grad()
            torch.stack(list(closure().values())).sum().backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    return pair


def test_two_passes_are_two_steps_and_the_second_sees_the_firsts_weights(tmp_path: Path, loader: Loader) -> None:
    pair = Pair()
    build_trainer(tmp_path, pair, loader, [Stage(5 / 12)], clip_grad_norm=1e9, lr_schedule="constant").fit()
    assert len(pair.seen) == 2 * 5
    befores, afters = pair.seen[::2], pair.seen[1::2]
    for (student, teacher), (same_student, moved) in zip(befores, afters, strict=True):
        assert torch.equal(student, same_student)
        assert not torch.equal(teacher, moved)
    for (_, moved), (_, next_batch) in zip(afters, befores[1:], strict=False):
        assert torch.equal(moved, next_batch)  # the student's step, with its momentum and decay, leaves it alone
    truth = pair_by_hand(loader, 5)
    for name, value in truth.state_dict().items():
        torch.testing.assert_close(pair.state_dict()[name], value, rtol=1e-5, atol=1e-7)


def test_what_a_pass_has_no_gradient_for_is_left_alone_whatever_its_momentum(tmp_path: Path, loader: Loader) -> None:
    pair, fresh = Pair(idle=True), Pair()
    build_trainer(tmp_path, pair, loader, [Stage(1)], clip_grad_norm=1e9, lr_schedule="constant").fit()
    truth = pair_by_hand(loader, 1)
    torch.testing.assert_close(pair.teacher.weight, truth.teacher.weight, rtol=1e-5, atol=1e-7)
    assert torch.equal(pair.bystander.weight, fresh.bystander.weight)  # nor does it decay
    assert not torch.equal(pair.deputy.weight, fresh.deputy.weight)


def test_the_log_has_the_terms_of_all_passes_and_the_total_of_the_last(tmp_path: Path, loader: Loader) -> None:
    build_trainer(tmp_path, Pair(), loader, [Stage(1 / 12)]).fit()
    (line,) = Run(tmp_path).read_log()
    assert line["loss"] == line["follow"] != line["teacher.labels"]


def test_lr_scale_is_a_factor_on_the_rate_of_one_submodule(tmp_path: Path, loader: Loader) -> None:
    moved = []
    for name, lr_scales in (("plain", {}), ("scaled", {"teacher": 0.25})):
        pair = Pair()
        pair.lr_scales = lr_scales
        before = pair.teacher.weight.detach().clone()
        build_trainer(tmp_path / name, pair, loader, [Stage(1 / 12)], clip_grad_norm=1e9).fit()
        moved.append(pair.teacher.weight.detach() - before)
    torch.testing.assert_close(moved[1], 0.25 * moved[0], rtol=1e-4, atol=1e-7)


def test_two_batches_a_step_are_one_of_twice_the_size(tmp_path: Path, loader: Loader) -> None:
    halves, whole = Linear(), Linear()
    build_trainer(tmp_path / "halves", halves, double_batches(loader), [Stage(2)], gradient_accumulation_steps=2).fit()
    build_trainer(tmp_path / "whole", whole, double_batches(loader), [Stage(2)]).fit()
    assert (halves.calls, whole.calls) == (2 * 12, 12)
    torch.testing.assert_close(halves.student.weight, whole.student.weight, rtol=1e-5, atol=1e-7)
    logs = [[line["loss"] for line in Run(tmp_path / name).read_log()] for name in ("halves", "whole")]
    assert logs[0] == pytest.approx(logs[1], rel=1e-5)


def test_passes_are_accumulated_each_by_itself(tmp_path: Path, loader: Loader) -> None:
    halves, whole = Pair(), Pair()
    build_trainer(tmp_path / "halves", halves, double_batches(loader), [Stage(1)], gradient_accumulation_steps=2).fit()
    build_trainer(tmp_path / "whole", whole, double_batches(loader), [Stage(1)]).fit()
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(halves.state_dict()[name], value, rtol=1e-5, atol=1e-7)
