"""Checkpoints of the training loop: a killed run ends with the bits of one that was not."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from facekd.data.loading.loader import Batch, Loader
from facekd.errors import FacekdError
from facekd.run import Run
from facekd.training import checkpoint, trainer
from facekd.training.method import CheckpointEvent, Stage
from facekd.utils.signals import Terminated
from tests.training.toy import (
    KillAtStep,
    Linear,
    Pair,
    build_trainer,
    double_batches,
    log_without_times,
    newest_state,
    train_by_formula,
)


@pytest.mark.parametrize(("step", "expected"), [
    (2, [(0, 0), (1, 6)]),  # killed in stage 0 without a checkpoint: from the beginning
    (7, [(0, 6), (1, 6)]),  # in stage 1 before its first checkpoint: stage 0 is asked for again, and has nothing to do
    (9, [(0, 6), (1, 6)]),
    (14, [(1, 12)]),  # in stage 1 after the checkpoint at the end of the epoch
])
def test_a_resumed_run_asks_again_for_the_stage_it_is_in(
    tmp_path: Path, loader: Loader, kill_at_step: KillAtStep, step: int, expected: list[tuple[int, int]]
) -> None:
    stages = [Stage(0.5, (0,)), Stage(1.5, (5,))]
    with kill_at_step(step):
        build_trainer(tmp_path, Linear(), loader, stages).fit()
    newest = checkpoint.load_newest(Run(tmp_path).checkpoints)
    steps_done = newest[1]["position"][2] if newest else 0
    method = Linear()
    calls: list[tuple[int, int]] = []

    def get_stage(number: int) -> Stage:
        calls.append((number, steps_done + method.calls))
        return stages[number]

    build_trainer(tmp_path, method, loader, get_stage, epochs=1.5).fit()
    assert calls == expected
    assert method.started_stages == [stages[number].anchors[0] for number, _ in expected]


@pytest.mark.parametrize("step", [1, 5, 13, 18, 19, 24, 27, 30, 33])
def test_a_run_killed_at_any_step_ends_as_if_it_had_not_been(
    tmp_path: Path, loader: Loader, kill_at_step: KillAtStep, step: int
) -> None:
    stages = [Stage(1.5, (0,)), Stage(2.75, (3,))]  # 18 and 15 steps; checkpoints at 12, 18, 24, 33
    whole = Linear()
    build_trainer(tmp_path / "whole", whole, loader, stages).fit()
    with kill_at_step(step):
        build_trainer(tmp_path / "killed", Linear(), loader, stages).fit()
    torch.manual_seed(99)
    continued = Linear()
    build_trainer(tmp_path / "killed", continued, loader, stages).fit()
    assert continued.calls == 33 - max(c for c in (0, 12, 18, 24) if c < step)
    assert torch.equal(whole.student.weight, continued.student.weight)
    assert torch.equal(whole.student.bias, continued.student.bias)
    assert log_without_times(tmp_path / "whole") == log_without_times(tmp_path / "killed")


@pytest.mark.parametrize(("number", "exception"), [
    (signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated),
])
def test_a_signal_ends_the_step_and_leaves_a_checkpoint(
    tmp_path: Path, loader: Loader, number: int, exception: type[BaseException]
) -> None:
    class Signalled(Linear):
        def losses(self, batch: Batch, progress: float) -> dict[str, Tensor]:
            terms = super().losses(batch, progress)
            if self.calls == 7:
                os.kill(os.getpid(), number)
            return terms

    whole, signalled, continued = Linear(), Signalled(), Linear()
    build_trainer(tmp_path / "whole", whole, loader, [Stage(2)]).fit()
    with pytest.raises(exception) as caught:
        build_trainer(tmp_path / "ended", signalled, loader, [Stage(2)]).fit()
    assert type(caught.value) is exception
    assert newest_state(tmp_path / "ended")["position"] == [0, 7, 7]
    build_trainer(tmp_path / "ended", continued, loader, [Stage(2)]).fit()
    assert (signalled.calls, continued.calls) == (7, 17)
    assert torch.equal(whole.student.weight, continued.student.weight)


def test_a_kill_while_an_event_is_handled_is_made_up_for(tmp_path: Path, loader: Loader) -> None:
    steps: list[int] = []

    def record(event: CheckpointEvent) -> None:
        steps.append(event.step)
        if steps == [12, 24]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_trainer(tmp_path, Linear(), loader, [Stage(3)], on_checkpoint=record).fit()
    build_trainer(tmp_path, Linear(), loader, [Stage(3)], on_checkpoint=record).fit()
    assert steps == [12, 24, 24, 36]


def test_checkpoints_by_the_clock_change_nothing(
    tmp_path: Path, loader: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    positions: list[int] = []
    real = checkpoint.save

    def save(folder: Path, position: checkpoint.Position, *rest: Any, **states: Any) -> None:
        positions.append(position.step)
        real(folder, position, *rest, **states)

    monkeypatch.setattr(checkpoint, "save", save)
    monkeypatch.setattr(trainer, "LOG_EVERY_STEPS", 5)
    often = build_trainer(tmp_path / "often", Linear(), loader, [Stage(2)])
    often.checkpoint_seconds = -1
    often.fit()
    assert positions == [5, 10, 12, 15, 20, 24]
    monkeypatch.undo()
    monkeypatch.setattr(trainer, "LOG_EVERY_STEPS", 5)
    build_trainer(tmp_path / "rare", Linear(), loader, [Stage(2)]).fit()
    assert log_without_times(tmp_path / "often") == log_without_times(tmp_path / "rare")


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path, loader: Loader) -> None:
    other = nn.Linear(3, 9)
    checkpoint.save(Run(tmp_path).checkpoints, checkpoint.Position(0, 1, 1), other.state_dict(), optimizer={},
                    scaler={}, ema={})
    with pytest.raises(FacekdError, match=r"another architecture.*student\.weight"):
        build_trainer(tmp_path, Linear(), loader, [Stage(1)]).fit()


def test_a_finished_training_is_not_trained_further(tmp_path: Path, loader: Loader) -> None:
    build_trainer(tmp_path, Linear(), loader, [Stage(1, (0,)), Stage(2, (1,))]).fit()
    again = Linear()
    build_trainer(tmp_path, again, loader, [Stage(1, (0,)), Stage(2, (1,))]).fit()
    assert again.calls == 0


@pytest.mark.parametrize("step", [27, 28, 30])
def test_a_run_killed_in_either_optimizer_pass_ends_as_if_it_had_not_been(
    tmp_path: Path, loader: Loader, kill_at_step: KillAtStep, step: int
) -> None:
    whole, continued = Pair(), Pair()
    build_trainer(tmp_path / "whole", whole, loader, [Stage(1.5)]).fit()
    with kill_at_step(step):  # the checkpoint is at twelve batches, 24 steps
        build_trainer(tmp_path / "killed", Pair(), loader, [Stage(1.5)]).fit()
    build_trainer(tmp_path / "killed", continued, loader, [Stage(1.5)]).fit()
    assert all(torch.equal(value, continued.state_dict()[name]) for name, value in whole.state_dict().items())


@pytest.mark.parametrize("values", [
    {"optimizer": "adamw", "learning_rate": 0.01}, {"ema_decay": 0.9}, {"gradient_accumulation_steps": 2},
    {"precision": "float16"}, {"lr_schedule": "onecycle", "warmup_steps": 2},
])
def test_all_states_come_back_bit_for_bit(
    tmp_path: Path, loader: Loader, monkeypatch: pytest.MonkeyPatch, values: dict[str, Any]
) -> None:
    monkeypatch.setattr(trainer, "LOG_EVERY_STEPS", 5)
    stages = [Stage(1), Stage(2)]
    loader = double_batches(loader)
    uninterrupted, resumed = Linear(), Linear()
    first = build_trainer(tmp_path / "uninterrupted", uninterrupted, loader, stages, **values)
    first.fit()
    killed = build_trainer(tmp_path / "killed", Linear(), loader, stages, **values)
    killed.on_checkpoint = stop_at(12)
    killed.checkpoint_seconds = -1
    with pytest.raises(KeyboardInterrupt):
        killed.fit()
    assert newest_state(tmp_path / "killed")["position"] == [1, 4, 10]
    second = build_trainer(tmp_path / "killed", resumed, loader, stages, **values)
    second.fit()
    assert torch.equal(uninterrupted.student.weight, resumed.student.weight)
    assert first.scaler.state_dict() == second.scaler.state_dict()
    if first.ema is not None and second.ema is not None:
        averages = [ema.module.get_parameter("weight") for ema in (first.ema, second.ema)]
        assert torch.equal(*averages)
    assert (first.ema is None) == (second.ema is None) == ("ema_decay" not in values)


def stop_at(step: int) -> Callable[[CheckpointEvent], None]:
    def stop(event: CheckpointEvent) -> None:
        if event.step == step:
            raise KeyboardInterrupt

    return stop


def test_a_checkpoint_of_plain_sgd_is_continued(tmp_path: Path, loader: Loader) -> None:
    plain = Linear()
    optimizer = torch.optim.SGD([{"params": [plain.student.weight], "lr_scale": 1.0, "weight_decay": 0.01},
                                 {"params": [plain.student.bias], "lr_scale": 1.0, "weight_decay": 0.0}],
                                lr=0.5, momentum=0.9)
    checkpoint.save(Run(tmp_path).checkpoints, checkpoint.Position(0, 0, 0), plain.state_dict(),
                    optimizer=optimizer.state_dict(), scaler={}, ema={})
    method = Linear()
    build_trainer(tmp_path, method, loader, [Stage(1)], clip_grad_norm=1e9).fit()
    torch.testing.assert_close(method.student.weight, train_by_formula(loader, [12]).weight, rtol=1e-4, atol=1e-6)
