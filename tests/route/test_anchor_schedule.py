from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from facekd.route.anchor_schedule import AnchorSchedule
from facekd.route.plan import Growth, Plan, PlanStage
from facekd.route.route import Route
from facekd.route.strategies import make_plan
from facekd.training.method import Stage

Make = Callable[..., Route]


class StubCongruence:
    """The congruence losses of a student with all points, given by a table: float64 [stages, points]."""

    def __init__(self, losses: NDArray[np.float64]) -> None:
        self.losses = losses
        self.stage = 0
        self.calls: list[list[int]] = []

    def __call__(self, points: Sequence[int]) -> list[float]:
        self.calls.append(list(points))
        return [float(self.losses[self.stage, point]) for point in points]


def all_stages(schedule: AnchorSchedule, congruence: StubCongruence) -> list[Stage]:
    """Return all stages; the student is measured at the end of each."""
    stages: list[Stage] = []
    while not stages or schedule.plan.growth or len(stages) < len(schedule.plan.stages):
        congruence.stage = len(stages) - 1
        stages.append(schedule(len(stages)))
    return stages


def greedy_anchors(losses: NDArray[np.float64], first: int, delta: float, max_stages: int) -> list[int]:
    """The greedy rule in its literal form; the last possible stage has the end of the route as its anchor."""
    end, anchors = losses.shape[1] - 1, [first]
    while len(anchors) < max_stages and anchors[-1] != end:
        i, stage_losses = anchors[-1], losses[len(anchors) - 1]
        in_reach = [j for j in range(i + 1, end + 1) if stage_losses[i] / stage_losses[j] >= delta]
        anchors.append(end if len(anchors) == max_stages - 1 else max(in_reach, default=i + 1))
    return anchors


@pytest.mark.parametrize("delta", [0.5, 0.8, 1.0])
@pytest.mark.parametrize("max_stages", [2, 3, 5, 12])
@pytest.mark.parametrize("count", [2, 7, 40])
def test_greedy_is_the_rule_read_word_for_word(
    make_route: Make, tmp_path: Path, count: int, max_stages: int, delta: float
) -> None:
    route, rng = make_route(count), np.random.default_rng([count, max_stages])
    for number in range(5):
        rise = np.linspace(1, rng.uniform(1, 3), count)  # later points tend to be farther away
        congruence = StubCongruence(rise * rng.uniform(0.7, 1.3, (max_stages, count)))
        plan = make_plan(route, "greedy", max_stages, delta=delta)
        stages = all_stages(AnchorSchedule(plan, route, tmp_path / f"{number}.json", 60.0, congruence), congruence)
        anchors = greedy_anchors(congruence.losses, plan.stages[0].points[0], delta, max_stages)
        assert [stage.anchors for stage in stages] == [(anchor,) for anchor in anchors]
        untils = [60.0 * (stage + 1) / max_stages for stage in range(len(anchors) - 1)]
        assert [stage.until for stage in stages] == pytest.approx([*untils, 60.0])
        assert stages[-1].until == 60.0


@pytest.fixture
def example(make_route: Make) -> tuple[Route, Plan, StubCongruence]:
    """Six points and four stages: 1 is far from all, then 4 is the last one in reach, then the end takes the rest."""
    losses = np.array([[1, 2, 3, 4, 5, 6], [9, 4, 8, 6, 5, 7], [9, 9, 9, 9, 2, 4.]])
    route = make_route(6)
    return route, make_plan(route, "greedy", 4, delta=0.8), StubCongruence(losses)


def test_an_example_worked_by_hand(example: tuple[Route, Plan, StubCongruence], tmp_path: Path) -> None:
    route, plan, congruence = example
    schedule = AnchorSchedule(plan, route, tmp_path / "plan.json", 8.0, congruence)
    assert all_stages(schedule, congruence) == [Stage(2.0, (0,)), Stage(4.0, (1,)), Stage(6.0, (4,)), Stage(8.0, (5,))]
    assert congruence.calls == [[0, 1, 2, 3, 4, 5], [1, 2, 3, 4, 5]]  # nothing is to be chosen for the last stage
    assert [stage.reason for stage in schedule.plan.stages[1:]] == [
        "no point within delta 0.8: the next (ratio 0.500); epoch 2",
        "the last point within delta 0.8 (ratio 0.800); epoch 5",
        "the end of the route, for what is left of the epochs",
    ]


def test_an_end_within_reach_takes_all_that_is_left(make_route: Make, tmp_path: Path) -> None:
    route, congruence = make_route(6), StubCongruence(np.ones((1, 6)))
    schedule = AnchorSchedule(make_plan(route, "greedy", 4), route, tmp_path / "plan.json", 8.0, congruence)
    assert all_stages(schedule, congruence) == [Stage(2.0, (0,)), Stage(8.0, (5,))]
    assert [stage.share for stage in schedule.plan.stages] == [0.25, 0.75]


def test_the_file_grows_with_the_schedule_and_ends_as_an_ordinary_plan(
    example: tuple[Route, Plan, StubCongruence], tmp_path: Path
) -> None:
    route, plan, congruence = example
    file = tmp_path / "run" / "plan.json"
    schedule = AnchorSchedule(plan, route, file, 8.0, congruence)
    assert (len(Plan.read(file)[0].stages), Plan.read(file)[0].growth) == (1, Growth(0.8, 0.25))
    for stage in range(4):
        congruence.stage = stage - 1
        schedule(stage)
        read, _ = Plan.read(file)
        assert list(read.stages) == list(schedule.plan.stages)
        assert (len(read.stages), read.growth is None) == (stage + 1, stage == 3)
    assert sum(stage.share for stage in read.stages) == pytest.approx(1, abs=1e-12)
    again = AnchorSchedule(read, route, tmp_path / "again.json", 8.0, congruence)
    congruence.calls.clear()
    assert [again(stage) for stage in range(4)] == [schedule(stage) for stage in range(4)]
    assert congruence.calls == []


@pytest.mark.parametrize("killed_in", [0, 1, 2, 3])
def test_a_schedule_goes_on_where_it_was_killed(
    example: tuple[Route, Plan, StubCongruence], tmp_path: Path, killed_in: int
) -> None:
    route, plan, congruence = example
    truth = all_stages(AnchorSchedule(plan, route, tmp_path / "whole.json", 8.0, congruence), congruence)
    schedule, congruence.stage = AnchorSchedule(plan, route, tmp_path / "plan.json", 8.0, congruence), 0
    for stage in range(killed_in + 1):
        congruence.stage = stage - 1
        schedule(stage)
    congruence.calls.clear()
    congruence.stage = -1  # the student has changed: the choices stay
    continued = AnchorSchedule(plan, route, tmp_path / "plan.json", 8.0, congruence)
    assert continued(killed_in) == truth[killed_in]
    assert congruence.calls == []
    assert [all_stages(continued, congruence)[stage] for stage in range(4)] == truth


@pytest.mark.parametrize("shares", [(1 / 3,) * 3, (0.1,) * 10, (0.7, 0.2, 0.1), (1.0,)])
@pytest.mark.parametrize("epochs", [7.3, 20.0, 240.0])
def test_a_fixed_plan_ends_exactly_with_the_training(
    make_route: Make, tmp_path: Path, shares: tuple[float, ...], epochs: float
) -> None:
    route = make_route(4)
    plan = Plan(route.folder, "manual", [PlanStage((0, 3), "", share) for share in shares])
    schedule = AnchorSchedule(plan, route, tmp_path / "plan.json", epochs)
    stages = [schedule(number) for number in range(len(shares))]
    assert stages[-1].until == epochs
    assert [stage.until for stage in stages] == pytest.approx(list(epochs * np.cumsum(shares)))
    assert {stage.anchors for stage in stages} == {(0, 3)}
    with pytest.raises(IndexError):
        schedule(len(shares))


def test_a_greedy_plan_without_a_congruence_is_a_mistake_of_the_caller(make_route: Make, tmp_path: Path) -> None:
    route = make_route(6)
    schedule = AnchorSchedule(make_plan(route, "greedy", 4), route, tmp_path / "plan.json", 8.0)
    assert schedule(0) == Stage(2.0, (0,))
    with pytest.raises(ValueError, match="a greedy plan needs the congruence of the student"):
        schedule(1)
