from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from facekd.run import Run
from facekd.training.metric_logger import Log


def loss(value: float) -> dict[str, Tensor]:
    return {"loss": torch.tensor(value)}


def test_lines_hold_means_since_the_line_before(tmp_path: Path) -> None:
    run = Run(tmp_path)
    with Log(run, 0) as log:
        for value in (1.0, 2.0, 6.0):
            log.add(loss(value))
        assert log.write(3, 0.75, 0, 0.1) == {"loss": pytest.approx(3)}
        log.add(loss(5.0))
        log.write(4, 1.0, 0, 0.05)
        assert log.latest == {"loss": 5.0}
    first, second = run.read_log()
    assert first.pop("seconds_per_step") >= 0
    assert first == {"step": 3, "epoch": 0.75, "stage": 0, "learning_rate": 0.1, "loss": 3.0}
    assert (second["step"], second["loss"]) == (4, 5.0)


def test_a_continued_run_drops_what_came_after_its_checkpoint(tmp_path: Path) -> None:
    run = Run(tmp_path)
    lines = [json.dumps({"step": step, "loss": float(step)}) for step in (1, 2, 3)]
    run.log_file.write_text("\n".join([*lines, '{"step": 4, "lo']))
    with Log(run, 2) as log:
        log.add(loss(30.0))
        log.write(3, 1.0, 0, 0.1)
    assert [(line["step"], line["loss"]) for line in run.read_log()] == [(1, 1), (2, 2), (3, 30)]


def test_tensorboard_shows_the_same_figures(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped]

    with Log(Run(tmp_path), 0) as log:
        log.add(loss(1.5))
        log.write(7, 1.0, 2, 0.25)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    found = {name: [(e.step, e.value) for e in events.Scalars(name)] for name in events.Tags()["scalars"]}
    assert found == {"loss": [(7, 1.5)], "learning_rate": [(7, 0.25)], "stage": [(7, 2.0)]}
