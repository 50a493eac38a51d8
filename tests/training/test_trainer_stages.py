"""Stages: their lengths, their learning rates and drops, and the events of a training."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from facekd.data.loading.loader import Loader
from facekd.errors import SetupError
from facekd.run import Run
from facekd.training import trainer
from facekd.training.method import CheckpointEvent, Stage
from tests.training.toy import STEPS, Linear, build_trainer, train_by_formula


def test_two_stages_follow_sgd_written_out(tmp_path: Path, loader: Loader) -> None:
    method = Linear()
    build_trainer(tmp_path, method, loader, [Stage(1.5, (0,)), Stage(2.25, (1,))], clip_grad_norm=1e9).fit()
    truth = train_by_formula(loader, [18, 9])
    assert method.started_stages == [0, 1]
    torch.testing.assert_close(method.student.weight, truth.weight, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(method.student.bias, truth.bias, rtol=1e-4, atol=1e-6)
    carried_over = train_by_formula(loader, [18, 9], restart=False)  # momentum
    assert (carried_over.weight - truth.weight).abs().max() > 1e-3


def test_events_are_epoch_ends_last_steps_before_drops_and_the_end(tmp_path: Path, loader: Loader) -> None:
    events: list[CheckpointEvent] = []
    build_trainer(tmp_path, Linear(), loader, [Stage(2.5)], lr_schedule="step", milestones=[0.5, 0.8],
            on_checkpoint=events.append).fit()
    assert [(event.step, event.reason) for event in events] == [
        (12, "epoch"), (15, "before drop"), (24, "before drop"), (30, "last"),
    ]
    assert [event.learning_rate for event in events] == pytest.approx([0.5, 0.5, 0.05, 0.005])
    assert [event.epoch for event in events] == [1, 1.25, 2, 2.5]
    assert all(event.metrics["loss"] == event.metrics["labels"] for event in events)


def test_each_stage_has_drops_of_its_own(tmp_path: Path, loader: Loader) -> None:
    events: list[CheckpointEvent] = []
    stages = [Stage(1, (0,)), Stage(2, (1,))]
    build_trainer(tmp_path, Linear(), loader, stages, lr_schedule="step", milestones=[0.5],
                  on_checkpoint=events.append).fit()
    assert [(event.step, event.reason) for event in events] == [
        (6, "before drop"), (12, "epoch"), (18, "before drop"), (24, "last"),
    ]


def test_a_process_of_torchrun_that_has_not_joined_the_others_does_not_train_alone(
    tmp_path: Path, loader: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    method = Linear()
    with pytest.raises(SetupError, match="has not joined the others"):
        build_trainer(tmp_path, method, loader, [Stage(1)]).fit()
    assert method.calls == 0


def quarters(epochs: float) -> list[Stage]:
    """Ends at quarters of the epochs, the last but one as a sum of shares; only the last says ``epochs`` itself."""
    return [Stage(epochs * sum([1 / 4] * n), (n,)) for n in (1, 2, 3)] + [Stage(epochs, (4,))]


def stage_ends(path: Path) -> list[int]:
    """The last step of every stage, read from the log."""
    return list({line["stage"]: line["step"] for line in Run(path).read_log()}.values())


@pytest.mark.parametrize(("epochs", "ends"), [
    (1, [3, 6, 9, 12]), (0.5, [2, 3, 4, 6]), (1.5, [4, 9, 14, 18]), (31 / 12, [8, 16, 23, 31]),
    (1 / 3, [1, 2, 3, 4]), (5 / 12, [1, 2, 4, 5]),
])
def test_four_quarters_end_exactly_with_the_epochs(
    tmp_path: Path, loader: Loader, epochs: float, ends: list[int]
) -> None:
    method = Linear()
    build_trainer(tmp_path, method, loader, quarters(epochs)).fit()
    assert stage_ends(tmp_path) == ends
    assert (method.started_stages, method.calls) == ([1, 2, 3, 4], ends[-1])


@pytest.mark.parametrize("count", [3, 7, 12])
def test_many_stages_share_the_steps_evenly(tmp_path: Path, loader: Loader, count: int) -> None:
    stages = [Stage(2.5 * (n + 1) / count) for n in range(count)]
    build_trainer(tmp_path, Linear(), loader, stages).fit()
    ends = stage_ends(tmp_path)
    assert ends[-1] == 30
    lengths = [b - a for a, b in zip([0, *ends], ends, strict=False)]
    assert len(lengths) == count and max(lengths) - min(lengths) <= 1


def test_a_stage_too_short_for_a_step_gets_one(tmp_path: Path, loader: Loader) -> None:
    build_trainer(tmp_path, Linear(), loader, [Stage(0.01), Stage(0.02), Stage(0.5)]).fit()
    assert stage_ends(tmp_path) == [1, 2, 6]


def test_a_stage_that_would_outlast_the_epochs_is_cut(tmp_path: Path, loader: Loader) -> None:
    method = Linear()
    build_trainer(tmp_path, method, loader, lambda number: Stage(7), epochs=1.5).fit()
    assert method.calls == 18


def test_stages_are_asked_for_in_order_and_only_when_their_turn_comes(tmp_path: Path, loader: Loader) -> None:
    method = Linear()
    calls: list[tuple[int, int]] = []

    def stages(number: int) -> Stage:
        calls.append((number, method.calls))
        return quarters(1)[number]

    build_trainer(tmp_path, method, loader, stages, epochs=1).fit()
    assert calls == [(0, 0), (1, 3), (2, 6), (3, 9)]


def test_who_chooses_the_next_stage_sees_the_weights_of_that_time(tmp_path: Path, loader: Loader) -> None:
    method = Linear()
    weights: list[Tensor] = []

    def stages(number: int) -> Stage:
        weights.append(method.student.weight.detach().clone())
        return Stage(0.5 * (number + 1), (number,))

    build_trainer(tmp_path, method, loader, stages, epochs=1.5, clip_grad_norm=1e9).fit()
    for lengths, weight in zip(([], [6], [6, 6]), weights, strict=True):
        torch.testing.assert_close(weight, train_by_formula(loader, lengths).weight.detach(), rtol=1e-4, atol=1e-6)


def test_the_learning_rate_begins_anew_in_every_stage_which_kd_lib_leaves_out(
    tmp_path: Path, loader: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "LOG_EVERY_STEPS", 1)
    build_trainer(tmp_path, Linear(), loader, quarters(4)).fit()
    rates = [line["learning_rate"] for line in Run(tmp_path).read_log()]
    cycle = [0.25 * (1 + math.cos(math.pi * i / STEPS)) for i in range(STEPS)]
    assert rates == pytest.approx(cycle * 4)
