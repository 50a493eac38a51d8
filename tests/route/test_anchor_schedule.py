from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from facekd.route.anchor_schedule import MAX_CANDIDATES, AnchorSchedule
from facekd.route.plan import Growth, Plan, PlanStage
from facekd.route.route import Route
from facekd.route.strategies import make_plan
from facekd.training.method import Stage

Make = Callable[..., Route]


class StubAgreement:
    """The agreements of a student with all points, given by a table: float64 [stages, points]."""

    def __init__(self, agreements: NDArray[np.float64]) -> None:
        self.agreements = agreements
        self.stage = 0
        self.calls: list[list[int]] = []

    def __call__(self, points: Sequence[int]) -> list[float]:
        self.calls.append(list(points))
        return [float(self.agreements[self.stage, point]) for point in points]


def all_stages(schedule: AnchorSchedule, agreement: StubAgreement) -> list[Stage]:
    """Return all stages; the student is measured at the beginning of each."""
    stages: list[Stage] = []
    while not stages or schedule.plan.growth or len(stages) < len(schedule.plan.stages):
        agreement.stage = len(stages)
        stages.append(schedule(len(stages)))
    return stages


def greedy_anchors(agreements: NDArray[np.float64], delta: float, max_stages: int) -> list[int]:
    """The greedy rule in its literal form; the last possible stage has the end of the route as its anchor."""
    end = agreements.shape[1] - 1
    in_reach = [j for j in range(end + 1) if agreements[0, j] >= delta * agreements[0].max()]
    anchors = [max(in_reach) if in_reach else int(agreements[0].argmax())]
    while len(anchors) < max_stages and anchors[-1] != end:
        i, values = anchors[-1], agreements[len(anchors)]
        in_reach = [j for j in range(i + 1, end + 1) if values[j] >= delta * values[i]]
        anchors.append(end if len(anchors) == max_stages - 1 else max(in_reach, default=end))
    return anchors


@pytest.mark.parametrize("delta", [0.5, 0.8, 1.0])
@pytest.mark.parametrize("max_stages", [2, 3, 5, 12])
@pytest.mark.parametrize("count", [1, 2, 7, MAX_CANDIDATES])
def test_greedy_is_the_rule_read_word_for_word(
    make_route: Make, tmp_path: Path, count: int, max_stages: int, delta: float
) -> None:
    route, rng = make_route(count), np.random.default_rng([count, max_stages])
    for number in range(5):
        fall = np.linspace(1, rng.uniform(0, 1), count)  # later points tend to be harder
        agreement = StubAgreement(fall * rng.uniform(0.5, 1, (max_stages, count)))
        plan = make_plan(route, "greedy", max_stages, delta=delta)
        stages = all_stages(AnchorSchedule(plan, route, tmp_path / f"{number}.json", 60.0, agreement), agreement)
        anchors = greedy_anchors(agreement.agreements, delta, max_stages)
        assert [stage.anchors for stage in stages] == [(anchor,) for anchor in anchors]
        untils = [60.0 * (stage + 1) / max_stages for stage in range(len(anchors) - 1)]
        assert [stage.until for stage in stages] == pytest.approx([*untils, 60.0])
        assert stages[-1].until == 60.0


@pytest.mark.parametrize(("count", "first", "candidates"), [
    (24, 0, list(range(24))), (48, 0, list(range(1, 48, 2))), (240, 0, list(range(9, 240, 10))),
    (100, 4, [7, 11, 15, *range(19, 100, 4)]),
])
def test_of_a_long_route_24_points_are_measured(
    make_route: Make, tmp_path: Path, count: int, first: int, candidates: list[int]
) -> None:
    route = make_route(count)
    agreement = StubAgreement(np.zeros((1, count)))
    stages = [PlanStage((first - 1,), "", 0.25)] if first else []
    schedule = AnchorSchedule(Plan(route.folder, "greedy", stages, Growth(0.8, 0.25)), route, tmp_path / "p", 8.0,
                              agreement)
    schedule(len(stages))
    assert agreement.calls == [[first - 1, *candidates] if first else candidates]


@pytest.fixture
def example(make_route: Make) -> tuple[Route, Plan, StubAgreement]:
    """Six points and four stages: only 1 is near the highest, itself; then 3 is the last one, then the end."""
    agreements = np.array([
        [0.5, 0.7, 0.5, 0.5, 0.4, 0.3], [0.9, 0.5, 0.3, 0.4, 0.39, 0.2], [0.9, 0.9, 0.9, 0.5, 0.3, 0.1],
    ])
    route = make_route(6)
    return route, make_plan(route, "greedy", 4, delta=0.8), StubAgreement(agreements)


def test_an_example_worked_by_hand(example: tuple[Route, Plan, StubAgreement], tmp_path: Path) -> None:
    route, plan, agreement = example
    schedule = AnchorSchedule(plan, route, tmp_path / "plan.json", 8.0, agreement)
    assert all_stages(schedule, agreement) == [Stage(2.0, (1,)), Stage(4.0, (3,)), Stage(8.0, (5,))]
    assert agreement.calls == [[0, 1, 2, 3, 4, 5], [1, 2, 3, 4, 5], [3, 4, 5]]
    assert [stage.reason for stage in schedule.plan.stages] == [
        "the last point with a gradient agreement of at least 0.8 times the highest one (point 1: 0.700, "
        "point 5: 0.300); epoch 2",
        "the last point with a gradient agreement of at least 0.8 times that of point 1 (point 3: 0.400, "
        "point 1: 0.500, point 5: 0.200); epoch 4",
        "the end of the route, no point has a gradient agreement of at least 0.8 times that of point 3 "
        "(point 5: 0.100, point 3: 0.500); epoch 6",
    ]
    assert [stage.share for stage in schedule.plan.stages] == [0.25, 0.25, 0.5]


def test_nothing_is_measured_for_the_last_possible_stage(make_route: Make, tmp_path: Path) -> None:
    route = make_route(6)
    agreement = StubAgreement(np.tril(np.ones((3, 6))))  # only the next point is in reach
    schedule = AnchorSchedule(make_plan(route, "greedy", 3), route, tmp_path / "plan.json", 9.0, agreement)
    assert all_stages(schedule, agreement) == [Stage(3.0, (0,)), Stage(6.0, (1,)), Stage(9.0, (5,))]
    assert agreement.calls == [[0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 5]]
    assert schedule.plan.stages[-1].reason == "the end of the route, for what is left of the epochs"


def test_a_student_that_can_learn_from_the_end_is_plainly_distilled(make_route: Make, tmp_path: Path) -> None:
    route, agreement = make_route(6), StubAgreement(np.full((1, 6), 0.9))
    schedule = AnchorSchedule(make_plan(route, "greedy", 4), route, tmp_path / "plan.json", 8.0, agreement)
    assert all_stages(schedule, agreement) == [Stage(8.0, (5,))]
    assert [stage.share for stage in schedule.plan.stages] == [1.0]
    assert schedule.plan.stages[0].reason == (
        "the last point with a gradient agreement of at least 0.5 times the highest one (point 5: 0.900, "
        "point 0: 0.900); epoch 6")


def test_the_highest_agreement_is_in_reach_even_if_it_is_negative(make_route: Make, tmp_path: Path) -> None:
    route, agreement = make_route(3), StubAgreement(np.array([[-0.5, -0.2, -0.3]]))
    schedule = AnchorSchedule(make_plan(route, "greedy", 4), route, tmp_path / "plan.json", 8.0, agreement)
    assert schedule(0).anchors == (1,)


def test_the_file_grows_with_the_schedule_and_ends_as_an_ordinary_plan(
    example: tuple[Route, Plan, StubAgreement], tmp_path: Path
) -> None:
    route, plan, agreement = example
    file = tmp_path / "run" / "plan.json"
    schedule = AnchorSchedule(plan, route, file, 8.0, agreement)
    assert (len(Plan.read(file)[0].stages), Plan.read(file)[0].growth) == (0, Growth(0.8, 0.25))
    for stage in range(3):
        agreement.stage = stage
        schedule(stage)
        read, _ = Plan.read(file)
        assert list(read.stages) == list(schedule.plan.stages)
        assert (len(read.stages), read.growth is None) == (stage + 1, stage == 2)
    assert sum(stage.share for stage in read.stages) == pytest.approx(1, abs=1e-12)
    again = AnchorSchedule(read, route, tmp_path / "again.json", 8.0, agreement)
    agreement.calls.clear()
    assert [again(stage) for stage in range(3)] == [schedule(stage) for stage in range(3)]
    assert agreement.calls == []


@pytest.mark.parametrize("killed_in", [0, 1, 2])
def test_a_schedule_goes_on_where_it_was_killed(
    example: tuple[Route, Plan, StubAgreement], tmp_path: Path, killed_in: int
) -> None:
    route, plan, agreement = example
    truth = all_stages(AnchorSchedule(plan, route, tmp_path / "whole.json", 8.0, agreement), agreement)
    schedule = AnchorSchedule(plan, route, tmp_path / "plan.json", 8.0, agreement)
    for stage in range(killed_in + 1):
        agreement.stage = stage
        schedule(stage)
    agreement.calls.clear()
    agreement.stage = -1  # the student has changed: the choices stay
    continued = AnchorSchedule(plan, route, tmp_path / "plan.json", 8.0, agreement)
    assert continued(killed_in) == truth[killed_in]
    assert agreement.calls == []
    assert [all_stages(continued, agreement)[stage] for stage in range(3)] == truth


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


def test_a_greedy_plan_without_an_agreement_is_a_mistake_of_the_caller(make_route: Make, tmp_path: Path) -> None:
    route = make_route(6)
    schedule = AnchorSchedule(make_plan(route, "greedy", 4), route, tmp_path / "plan.json", 8.0)
    with pytest.raises(ValueError, match="a greedy plan needs the agreement of the student"):
        schedule(0)
