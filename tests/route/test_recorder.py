from __future__ import annotations

from pathlib import Path

import pytest
import torch

from facekd.models.registry import create
from facekd.models.weights import load_model
from facekd.route.recorder import RouteRecorder
from facekd.route.route import Route
from facekd.run import Run
from facekd.training.trainer import CheckpointEvent

STEPS = 4
"""Steps of an epoch; the events are those of six epochs with a drop within the third."""
EVENTS = [CheckpointEvent(step, step / STEPS, 0.1, reason, {"loss": 1 / step}) for step, reason in (
    (4, "epoch"), (8, "epoch"), (10, "before drop"), (12, "epoch"), (16, "epoch"), (20, "epoch"), (24, "last"))]


def recorder(folder: Path, every_epochs: float) -> RouteRecorder:
    torch.manual_seed(0)
    return RouteRecorder(Run(folder), create("resnet8", size=32, outputs=4, width=0.5), every_epochs, STEPS)


@pytest.mark.parametrize(("every_epochs", "steps"), [
    (1, [4, 8, 10, 12, 16, 20, 24]), (2, [8, 10, 16, 24]), (4, [10, 16, 24]), (100, [10, 24]), (0, []),
])
def test_every_so_many_epochs_and_before_drops_and_at_the_end(
    tmp_path: Path, every_epochs: float, steps: list[int]
) -> None:
    record = recorder(tmp_path, every_epochs)
    for event in EVENTS:
        record(event)
    assert [point.step for point in record.route.points] == steps
    assert (tmp_path / "route").exists() == bool(steps)


def test_a_point_holds_the_event_and_the_weights_of_its_time(tmp_path: Path) -> None:
    record = recorder(tmp_path, 1)
    record(EVENTS[0])
    before = {name: value.clone() for name, value in record.network.state_dict().items()}
    torch.nn.init.zeros_(next(record.network.parameters()))
    record(EVENTS[2])
    route = Route.open(tmp_path)
    assert [(p.epoch, p.learning_rate, p.reason, dict(p.metrics)) for p in route.points] == [
        (1.0, 0.1, "epoch", {"loss": 0.25}), (2.5, 0.1, "before drop", {"loss": 0.1})]
    loaded = load_model(route.point_file(0)).state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in before.items())
    assert not next(load_model(route.point_file(1)).parameters()).any()


def test_a_continued_run_goes_on_with_its_route(tmp_path: Path) -> None:
    for events in (EVENTS[:3], EVENTS[1:]):  # the second run repeats two events
        record = recorder(tmp_path, 1)
        for event in events:
            record(event)
    assert [point.step for point in Route.open(tmp_path).points] == [4, 8, 10, 12, 16, 20, 24]
