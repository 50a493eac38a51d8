from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from facekd.route.anchor_schedule import Walk
from facekd.route.plan import Growth, Leg, Plan
from facekd.route.route import Route
from facekd.route.strategies import make_plan
from facekd.training.method import Stage

Make = Callable[..., Route]


class Student:
    """Its congruence loss with every point after every stage is invented: a row a stage."""

    def __init__(self, losses: NDArray[np.float64]) -> None:
        self.losses, self.stage, self.asked = losses, 0, list[list[int]]()

    def __call__(self, points: Sequence[int]) -> list[float]:
        self.asked.append(list(points))
        return [float(self.losses[self.stage, point]) for point in points]


def walked(walk: Walk, student: Student) -> list[Stage]:
    """All stages, the student being asked as it is at the end of each."""
    stages: list[Stage] = []
    while not stages or walk.plan.growth or len(stages) < len(walk.plan.legs):
        student.stage = len(stages) - 1
        stages.append(walk(len(stages)))
    return stages


def by_the_book(losses: NDArray[np.float64], first: int, delta: float, most: int) -> list[int]:
    """The greedy rule read word for word; the last stage there can be is given to the end."""
    end, anchors = losses.shape[1] - 1, [first]
    while len(anchors) < most and anchors[-1] != end:
        here, after = anchors[-1], losses[len(anchors) - 1]
        within = [j for j in range(here + 1, end + 1) if after[here] / after[j] >= delta]
        anchors.append(end if len(anchors) == most - 1 else max(within, default=here + 1))
    return anchors


@pytest.mark.parametrize("delta", [0.5, 0.8, 1.0])
@pytest.mark.parametrize("most", [2, 3, 5, 12])
@pytest.mark.parametrize("count", [2, 7, 40])
def test_greedy_is_the_rule_read_word_for_word(
    make_route: Make, tmp_path: Path, count: int, most: int, delta: float
) -> None:
    route, rng = make_route(count), np.random.default_rng([count, most])
    for number in range(5):
        rise = np.linspace(1, rng.uniform(1, 3), count)  # later points tend to lie farther away
        student = Student(rise * rng.uniform(0.7, 1.3, (most, count)))
        plan = make_plan(route, "greedy", most, delta=delta)
        stages = walked(Walk(plan, route, tmp_path / f"{number}.json", 60.0, student), student)
        anchors = by_the_book(student.losses, plan.legs[0].points[0], delta, most)
        assert [stage.anchors for stage in stages] == [(anchor,) for anchor in anchors]
        untils = [60.0 * (stage + 1) / most for stage in range(len(anchors) - 1)]
        assert [stage.until for stage in stages] == pytest.approx([*untils, 60.0])
        assert stages[-1].until == 60.0


@pytest.fixture
def example(make_route: Make) -> tuple[Route, Plan, Student]:
    """Six points and four stages: 1 is far from all, then 4 is the last one near, then what is left for the end."""
    losses = np.array([[1, 2, 3, 4, 5, 6], [9, 4, 8, 6, 5, 7], [9, 9, 9, 9, 2, 4.]])
    route = make_route(6)
    return route, make_plan(route, "greedy", 4, delta=0.8), Student(losses)


def test_an_example_worked_by_hand(example: tuple[Route, Plan, Student], tmp_path: Path) -> None:
    route, plan, student = example
    walk = Walk(plan, route, tmp_path / "plan.json", 8.0, student)
    assert walked(walk, student) == [Stage(2.0, (0,)), Stage(4.0, (1,)), Stage(6.0, (4,)), Stage(8.0, (5,))]
    assert student.asked == [[0, 1, 2, 3, 4, 5], [1, 2, 3, 4, 5]]  # nothing is to be chosen for the last stage
    assert [leg.why for leg in walk.plan.legs[1:]] == [
        "no point within delta 0.8: the next (ratio 0.500); epoch 2",
        "the last point within delta 0.8 (ratio 0.800); epoch 5",
        "the end of the route, for what is left of the epochs",
    ]


def test_an_end_within_reach_takes_all_that_is_left(make_route: Make, tmp_path: Path) -> None:
    route, student = make_route(6), Student(np.ones((1, 6)))
    walk = Walk(make_plan(route, "greedy", 4), route, tmp_path / "plan.json", 8.0, student)
    assert walked(walk, student) == [Stage(2.0, (0,)), Stage(8.0, (5,))]
    assert [leg.share for leg in walk.plan.legs] == [0.25, 0.75]


def test_the_file_grows_with_the_walk_and_ends_as_an_ordinary_plan(
    example: tuple[Route, Plan, Student], tmp_path: Path
) -> None:
    route, plan, student = example
    file = tmp_path / "run" / "plan.json"
    walk = Walk(plan, route, file, 8.0, student)
    assert (len(Plan.read(file)[0].legs), Plan.read(file)[0].growth) == (1, Growth(0.8, 0.25))
    for stage in range(4):
        student.stage = stage - 1
        walk(stage)
        read, _ = Plan.read(file)
        assert list(read.legs) == list(walk.plan.legs)
        assert (len(read.legs), read.growth is None) == (stage + 1, stage == 3)
    assert sum(leg.share for leg in read.legs) == pytest.approx(1, abs=1e-12)
    again = Walk(read, route, tmp_path / "again.json", 8.0, student)
    student.asked.clear()
    assert [again(stage) for stage in range(4)] == [walk(stage) for stage in range(4)]
    assert student.asked == []


@pytest.mark.parametrize("killed_in", [0, 1, 2, 3])
def test_a_walk_goes_on_where_it_was_killed(
    example: tuple[Route, Plan, Student], tmp_path: Path, killed_in: int
) -> None:
    route, plan, student = example
    truth = walked(Walk(plan, route, tmp_path / "whole.json", 8.0, student), student)
    walk, student.stage = Walk(plan, route, tmp_path / "plan.json", 8.0, student), 0
    for stage in range(killed_in + 1):
        student.stage = stage - 1
        walk(stage)
    student.asked.clear()
    student.stage = -1  # the student is elsewhere by now: what was chosen stays chosen
    continued = Walk(plan, route, tmp_path / "plan.json", 8.0, student)
    assert continued(killed_in) == truth[killed_in]
    assert student.asked == []
    assert [walked(continued, student)[stage] for stage in range(4)] == truth


def unasked(points: Sequence[int]) -> list[float]:
    raise AssertionError("a fixed plan needs no distances")


@pytest.mark.parametrize("shares", [(1 / 3,) * 3, (0.1,) * 10, (0.7, 0.2, 0.1), (1.0,)])
@pytest.mark.parametrize("epochs", [7.3, 20.0, 240.0])
def test_a_fixed_plan_ends_exactly_with_the_training(
    make_route: Make, tmp_path: Path, shares: tuple[float, ...], epochs: float
) -> None:
    route = make_route(4)
    plan = Plan(route.folder, "manual", [Leg((0, 3), "", share) for share in shares])
    walk = Walk(plan, route, tmp_path / "plan.json", epochs, unasked)
    stages = [walk(number) for number in range(len(shares))]
    assert stages[-1].until == epochs
    assert [stage.until for stage in stages] == pytest.approx(list(epochs * np.cumsum(shares)))
    assert {stage.anchors for stage in stages} == {(0, 3)}
    with pytest.raises(IndexError):
        walk(len(shares))
