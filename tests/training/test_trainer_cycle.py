"""One learning-rate cycle and one optimizer state over all stages, against one of each for every stage."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from facekd.data.loading.loader import Loader
from facekd.run import Run
from facekd.training import trainer
from facekd.training.method import CheckpointEvent, Stage
from tests.training.toy import KillAtStep, Linear, build_trainer, log_without_times, mean_colors, newest_state

STAGES = [Stage(1.5, (0,)), Stage(2.75, (3,))]
"""18 and 15 steps."""


def cosine(step: int, steps: int, warmup: int = 0) -> float:
    if step < warmup:
        return 0.5 * (step + 1) / warmup
    return 0.25 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup)))


def softmax_regression(loader: Loader, rates: Sequence[float], *, new_momentum_at: int) -> NDArray[np.float64]:
    """Train `Linear` in float64 by written-out gradients and SGD with momentum 0.9, and return its weights and biases.

    The targets are those of `STAGES`. From ``new_momentum_at`` on the momentum begins at zero again.
    """
    network = Linear().student
    weight = np.concatenate([network.weight.detach().numpy(), network.bias.detach().numpy()[:, None]], 1).astype(float)
    decay = 0.01 * np.array([1, 1, 1, 0])
    momentum = np.zeros_like(weight)
    batches = [batch for epoch in range(3) for batch in loader.iter_epoch(epoch)]
    for step, (rate, batch) in enumerate(zip(rates, batches, strict=False)):
        inputs = np.concatenate([mean_colors(batch).numpy().astype(float), np.ones((4, 1))], 1)
        targets = np.eye(8)[(batch.labels.numpy() + (0 if step < 18 else 3)) % 8]
        exponentials = np.exp(inputs @ weight.T)
        gradient = (exponentials / exponentials.sum(1, keepdims=True) - targets).T @ inputs / 4 + decay * weight
        momentum = gradient if step == new_momentum_at else 0.9 * momentum + gradient
        weight = weight - rate * momentum
    return weight


def weights_of(student: nn.Linear) -> NDArray[np.float64]:
    return np.concatenate([student.weight.detach().numpy(), student.bias.detach().numpy()[:, None]], 1)


@pytest.mark.parametrize("cycle", ["stage", "run"])
def test_two_stages_follow_sgd_written_out_in_float64(tmp_path: Path, loader: Loader, cycle: str) -> None:
    method = Linear().double()
    build_trainer(tmp_path, method, loader, STAGES, cycle=cycle, warmup_steps=3, clip_grad_norm=1e9).fit()
    rates = {"run": [cosine(step, 33, 3) for step in range(33)],
             "stage": [cosine(step, 18, 3) for step in range(18)] + [cosine(step, 15, 3) for step in range(15)]}
    truths = {(key, begin): softmax_regression(loader, rates[key], new_momentum_at=begin)
              for key in rates for begin in (18, 99)}
    truth = truths.pop((cycle, 18 if cycle == "stage" else 99))
    np.testing.assert_allclose(weights_of(method.student), truth, rtol=1e-11, atol=1e-13)
    # Neither the cycle alone nor the momentum alone gives these weights.
    assert all(np.abs(other - truth).max() > 1e-3 for other in truths.values())


def test_the_learning_rate_of_a_run_falls_through_all_its_stages(
    tmp_path: Path, loader: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "LOG_EVERY_STEPS", 1)
    build_trainer(tmp_path, Linear(), loader, STAGES, cycle="run", warmup_steps=3).fit()
    lines = Run(tmp_path).read_log()
    assert [line["learning_rate"] for line in lines] == pytest.approx([cosine(step, 33, 3) for step in range(33)])
    assert [line["stage"] for line in lines] == [0] * 18 + [1] * 15


def test_the_drops_are_fractions_of_the_whole_training(tmp_path: Path, loader: Loader) -> None:
    events: list[CheckpointEvent] = []
    stages = [Stage(0.75), Stage(1.25), Stage(2)]  # ends at 9, 15 and 24
    build_trainer(tmp_path, Linear(), loader, stages, cycle="run", lr_schedule="step", milestones=[0.625, 0.75],
                  on_checkpoint=events.append).fit()
    assert [(event.step, event.reason) for event in events] == [
        (12, "epoch"), (15, "before drop"), (18, "before drop"), (24, "last"),
    ]
    assert [event.learning_rate for event in events] == pytest.approx([0.5, 0.5, 0.05, 0.005])


@pytest.mark.parametrize("values", [
    {"warmup_steps": 2}, {"lr_schedule": "step"}, {"lr_schedule": "onecycle", "warmup_steps": 9},
    {"optimizer": "adamw", "ema_decay": 0.9},
])
def test_with_one_stage_both_cycles_give_the_same_bits(tmp_path: Path, loader: Loader, values: dict[str, Any]) -> None:
    for cycle in ("stage", "run"):
        build_trainer(tmp_path / cycle, Linear(), loader, [Stage(2.5)], cycle=cycle, **values).fit()
    checkpoints = [next(Run(tmp_path / cycle).checkpoints.glob("step-00000030-*")) for cycle in ("stage", "run")]
    assert checkpoints[0].read_bytes() == checkpoints[1].read_bytes()
    assert log_without_times(tmp_path / "stage") == log_without_times(tmp_path / "run")


@pytest.mark.parametrize("event_every_steps", [0, 5])
@pytest.mark.parametrize("step", [5, 13, 18, 19, 20, 27, 33])
def test_a_run_of_one_cycle_killed_at_any_step_ends_as_if_it_had_not_been(
    tmp_path: Path, loader: Loader, kill_at_step: KillAtStep, step: int, event_every_steps: int
) -> None:
    values: dict[str, Any] = {"cycle": "run", "event_every_steps": event_every_steps}
    checkpoints = {0, 12, 18, 24} | set(range(5, 33, 5) if event_every_steps else ())
    whole, continued = Linear(), Linear()
    build_trainer(tmp_path / "whole", whole, loader, STAGES, **values).fit()
    with kill_at_step(step):
        build_trainer(tmp_path / "killed", Linear(), loader, STAGES, **values).fit()
    build_trainer(tmp_path / "killed", continued, loader, STAGES, **values).fit()
    assert continued.calls == 33 - max(checkpoint for checkpoint in checkpoints if checkpoint < step)
    assert_same_end(tmp_path, whole, continued)


@pytest.mark.parametrize("cycle", ["stage", "run"])
@pytest.mark.parametrize("values", [
    {}, {"optimizer": "adamw", "learning_rate": 0.01}, {"ema_decay": 0.9}, {"gradient_accumulation_steps": 2},
    {"precision": "float16"}, {"lr_schedule": "onecycle", "warmup_steps": 2}, {"lr_schedule": "step"},
])
def test_a_run_killed_between_two_stages_ends_as_if_it_had_not_been(
    tmp_path: Path, loader: Loader, cycle: str, values: dict[str, Any]
) -> None:
    values = {**values, "cycle": cycle, "epochs": 2.75}
    whole, continued = Linear(), Linear()
    build_trainer(tmp_path / "whole", whole, loader, STAGES, **values).fit()
    with pytest.raises(IndexError):  # the second stage is not listed
        build_trainer(tmp_path / "killed", Linear(), loader, STAGES[:1], **values).fit()
    assert newest_state(tmp_path / "killed")["position"] == [0, 18, 18]
    build_trainer(tmp_path / "killed", continued, loader, STAGES, **values).fit()
    assert continued.started_stages == [0, 3]
    assert_same_end(tmp_path, whole, continued)


def assert_same_end(path: Path, whole: Linear, continued: Linear) -> None:
    assert torch.equal(whole.student.weight, continued.student.weight)
    assert torch.equal(whole.student.bias, continued.student.bias)
    assert log_without_times(path / "whole") == log_without_times(path / "killed")
    for state in ("optimizer", "scaler", "ema"):
        values, expected = (newest_state(path / name)[state] for name in ("killed", "whole"))
        torch.testing.assert_close(values, expected, rtol=0, atol=0)


def record_steps(steps: list[tuple[int, str]]) -> Callable[[CheckpointEvent], None]:
    return lambda event: steps.append((event.step, event.reason))


def test_events_within_an_epoch_are_counted_over_all_stages(tmp_path: Path, loader: Loader) -> None:
    events: list[tuple[int, str]] = []
    build_trainer(tmp_path, Linear(), loader, STAGES, lr_schedule="step", milestones=[0.5], event_every_steps=6,
                  on_checkpoint=record_steps(events)).fit()
    assert events == [(6, "interval"), (9, "before drop"), (12, "epoch"), (18, "interval"), (24, "epoch"),
                      (26, "before drop"), (30, "interval"), (33, "last")]


def test_events_within_an_epoch_leave_the_weights_as_they_are(tmp_path: Path, loader: Loader) -> None:
    rare, often = Linear(), Linear()
    build_trainer(tmp_path / "rare", rare, loader, STAGES).fit()
    build_trainer(tmp_path / "often", often, loader, STAGES, event_every_steps=1).fit()
    assert torch.equal(rare.student.weight, often.student.weight)
