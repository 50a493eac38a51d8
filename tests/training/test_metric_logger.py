"""The training logger: means between two lines, over steps in which a term counted."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import torch
from torch import Tensor

from facekd.data.loading.loader import Batch, Loader
from facekd.run import Run
from facekd.training.method import Stage
from facekd.training.metric_logger import MetricLogger
from tests.training.toy import STEPS, Linear, build_trainer


def loss(value: float) -> dict[str, Tensor]:
    return {"loss": torch.tensor(value)}


def test_lines_hold_means_since_the_line_before(tmp_path: Path) -> None:
    run = Run(tmp_path)
    with MetricLogger(run, 0) as logger:
        for value in (1.0, 2.0, 6.0):
            logger.add(loss(value))
        assert logger.write(3, 0.75, 0, 0.1) == {"loss": pytest.approx(3)}
        logger.add(loss(5.0))
        logger.write(4, 1.0, 0, 0.05)
        assert logger.latest == {"loss": 5.0}
    first, second = run.read_log()
    assert first.pop("seconds_per_step") >= 0
    assert first == {"step": 3, "epoch": 0.75, "stage": 0, "learning_rate": 0.1, "loss": 3.0}
    assert (second["step"], second["loss"]) == (4, 5.0)


def test_a_continued_run_drops_what_came_after_its_checkpoint(tmp_path: Path) -> None:
    run = Run(tmp_path)
    lines = [json.dumps({"step": step, "loss": float(step)}) for step in (1, 2, 3)]
    run.log_file.write_text("\n".join([*lines, '{"step": 4, "lo']))
    with MetricLogger(run, 2) as logger:
        logger.add(loss(30.0))
        logger.write(3, 1.0, 0, 0.1)
    assert [(line["step"], line["loss"]) for line in run.read_log()] == [(1, 1), (2, 2), (3, 30)]


def test_tensorboard_shows_the_same_figures(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped]

    with MetricLogger(Run(tmp_path), 0) as logger:
        logger.add(loss(1.5))
        logger.write(7, 1.0, 2, 0.25)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    scalars = {name: [(e.step, e.value) for e in events.Scalars(name)] for name in events.Tags()["scalars"]}
    assert scalars == {"loss": [(7, 1.5)], "learning_rate": [(7, 0.25)], "stage": [(7, 2.0)]}


class Fleeting(Linear):
    """One term ends after three steps of twelve, and another begins after six."""

    def losses(self, batch: Batch, progress: float) -> dict[str, Tensor]:
        terms = super().losses(batch, progress)
        step = torch.tensor(round(progress * STEPS) + 1.0)
        return terms | ({"early": step} if progress < 0.25 else {}) | ({"late": step} if progress >= 0.5 else {})


def test_terms_may_come_and_go_between_two_lines_of_the_log(tmp_path: Path, loader: Loader) -> None:
    build_trainer(tmp_path, Fleeting(), loader, [Stage(1)]).fit()
    (line,) = Run(tmp_path).read_log()
    assert (line["early"], line["late"]) == (2.0, 9.5)  # the means of the steps in which they counted


def test_what_was_measured_is_in_its_line_alone(tmp_path: Path) -> None:
    run = Run(tmp_path)
    with MetricLogger(run, 0) as logger:
        logger.add({**loss(2.0), "teacher_cosine": torch.tensor(0.25)})
        logger.write(1, 1.0, 0, 0.1, measure=lambda: {"held_out_cosine": 0.125})
        assert logger.note() == "loss 2.000, cosine 0.250, held out 0.125"
        logger.add({**loss(1.0), "teacher_cosine": torch.tensor(0.5)})
        logger.write(2, 2.0, 0, 0.1)
        assert logger.note() == "loss 1.000, cosine 0.500, held out 0.125"  # the last one
    assert [line.get("held_out_cosine") for line in run.read_log()] == [0.125, None]


def test_a_training_without_a_teacher_shows_its_loss_alone(tmp_path: Path) -> None:
    with MetricLogger(Run(tmp_path), 0) as logger:
        logger.add(loss(2.0))
        logger.write(1, 1.0, 0, 0.1)
        assert logger.note() == "loss 2.000"


def test_the_time_of_measuring_is_not_that_of_steps(tmp_path: Path) -> None:
    run = Run(tmp_path)

    def measure() -> dict[str, float]:
        time.sleep(0.3)
        return {}

    with MetricLogger(run, 0) as logger:
        for step in (1, 2):
            logger.add(loss(1.0))
            logger.write(step, 1.0, 0, 0.1, measure=measure)
    assert max(line["seconds_per_step"] for line in run.read_log()) < 0.3


def test_figures_are_measured_at_ends_of_epochs_and_at_the_end(tmp_path: Path, loader: Loader) -> None:
    trainer = build_trainer(tmp_path, Linear(), loader, [Stage(2.25)], lr_schedule="step", milestones=[0.3])
    trainer.measure = lambda: {"held_out_cosine": 1.0}
    trainer.fit()
    assert [line["step"] for line in Run(tmp_path).read_log() if "held_out_cosine" in line] == [12, 24, 27]
