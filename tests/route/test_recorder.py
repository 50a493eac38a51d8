from __future__ import annotations

from pathlib import Path

import pytest
import torch

from facekd.api.train import train
from facekd.errors import RouteError
from facekd.models.registry import create
from facekd.models.weights import load_model
from facekd.preflight.disk import count_route_points
from facekd.preflight.job import open_job
from facekd.route.recorder import RouteRecorder, route_interval
from facekd.route.route import Route
from facekd.run import Run
from facekd.training.method import CheckpointEvent
from tests.training.toy import KillAtStep

STEPS = 4
"""Steps of an epoch; the events are those of six epochs with a drop within the third."""
EVENTS = [CheckpointEvent(step, step / STEPS, 0.1, reason, {"loss": 1 / step}) for step, reason in (
    (4, "epoch"), (8, "epoch"), (10, "before drop"), (12, "epoch"), (16, "epoch"), (20, "epoch"), (24, "last"))]


def recorder(folder: Path, every_epochs: float) -> RouteRecorder:
    torch.manual_seed(0)
    return RouteRecorder(Run(folder), create("resnet8", size=32, outputs=4, width=0.5), every_epochs, STEPS)


@pytest.mark.parametrize(("every_epochs", "steps"), [
    (1, [4, 8, 10, 12, 16, 20, 24]), (2, [8, 10, 16, 24]), (4, [10, 16, 24]), (100, [10, 24]), (0, []),
    (0.75, [10, 12, 24]),  # every 3 steps, of which only the ends of epochs are events here
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


@pytest.mark.parametrize(("every_epochs", "interval", "event_every_steps"), [
    (0, 0, 0), (1, 12, 0), (1.3, 16, 0), (2, 24, 0), (0.5, 6, 6), (0.4, 5, 5), (1 / 12, 1, 1), (0.0833, 1, 1),
])
def test_the_trainer_is_asked_for_events_of_their_own_for_fractions_of_an_epoch_only(
    tmp_path: Path, every_epochs: float, interval: int, event_every_steps: int
) -> None:
    network = create("resnet8", size=32, outputs=4, width=0.5)
    record = RouteRecorder(Run(tmp_path), network, every_epochs, 12)
    assert (record.interval, record.event_every_steps) == (interval, event_every_steps)


@pytest.mark.parametrize(("every_epochs", "steps_per_epoch", "minimum"), [(0.04, 12, 0.08333), (0.13, 7, 0.1429)])
def test_an_interval_shorter_than_a_step_is_refused(
    every_epochs: float, steps_per_epoch: int, minimum: float
) -> None:
    with pytest.raises(RouteError, match=rf"every_epochs={every_epochs} is .* step, .* set it to {minimum} or more"):
        route_interval(every_epochs, steps_per_epoch)
    assert route_interval(minimum, steps_per_epoch) == 1


def test_a_training_with_too_short_an_interval_does_not_begin(
    small_faces: Path, tiny_teacher_overrides: tuple[str, ...], tmp_path: Path
) -> None:
    with pytest.raises(RouteError, match=r"set it to 0\.08333 or more"):
        train(small_faces, tmp_path / "run", *tiny_teacher_overrides, "route.every_epochs=0.05")
    assert not list((tmp_path / "run").rglob("*.pt"))


@pytest.fixture(scope="module")
def fine_run(small_faces: Path, tiny_teacher_overrides: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory
             ) -> Path:
    """A teacher with a point every five steps."""
    return train(small_faces, tmp_path_factory.mktemp("fine") / "run", *tiny_teacher_overrides,
                 "route.every_epochs=0.4")


def test_points_within_an_epoch_leave_the_training_as_it_is(fine_run: Path, teacher_run: Path) -> None:
    route = Route.open(fine_run)
    assert [(point.step, point.reason) for point in route.points] == [
        (5, "interval"), (10, "interval"), (15, "interval"), (18, "before drop"), (20, "interval"), (25, "interval"),
        (29, "before drop"), (30, "interval"), (35, "interval"), (36, "last"),
    ]
    assert [point.epoch for point in route.points[:2]] == [0.4167, 0.8333]
    assert count_route_points(open_job(fine_run / "recipe.yaml", [], 1)) == len(route.points)
    others = {point.step: point.sha256 for point in Route.open(teacher_run).points}
    assert all(others[point.step] == point.sha256 for point in route.points if point.step in (18, 29, 36))


@pytest.mark.parametrize("step", [3, 6, 16, 17, 26, 36])
def test_a_killed_run_neither_loses_nor_doubles_a_point_within_an_epoch(
    fine_run: Path, small_faces: Path, tiny_teacher_overrides: tuple[str, ...], tmp_path: Path,
    kill_at_step: KillAtStep, step: int,
) -> None:
    arguments = (small_faces, tmp_path / "run", *tiny_teacher_overrides, "route.every_epochs=0.4")
    with kill_at_step(step):
        train(*arguments)
    run = train(*arguments)
    for file in ("model.safetensors", "route/route.json"):
        assert (run / file).read_bytes() == (fine_run / file).read_bytes()
