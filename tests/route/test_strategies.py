from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from facekd.errors import RouteError
from facekd.route.plan import Growth, Plan
from facekd.route.route import Route
from facekd.route.strategies import STRATEGIES, make_plan

Make = Callable[..., Route]


def anchor_points(plan: Plan) -> list[int]:
    assert all(len(stage.points) == 1 for stage in plan.stages)
    return [stage.points[0] for stage in plan.stages]


@pytest.mark.parametrize(("count", "anchors", "points"), [
    (20, 4, [4, 9, 14, 19]), (8, 4, [1, 3, 5, 7]), (10, 1, [9]), (10, 4, [2, 4, 7, 9]), (3, 3, [0, 1, 2]),
    (5, 2, [2, 4]),
])
def test_equal_takes_points_at_equal_distance_up_to_the_end(
    make_route: Make, count: int, anchors: int, points: list[int]
) -> None:
    assert anchor_points(make_plan(make_route(count), "equal", anchors)) == points


@pytest.mark.parametrize("anchors", [1, 4])
def test_final_repeats_the_end(make_route: Make, anchors: int) -> None:
    assert anchor_points(make_plan(make_route(10), "final", anchors)) == [9] * anchors


def test_mean_follows_the_anchors_of_equal_all_at_once(make_route: Make) -> None:
    plan = make_plan(make_route(20), "mean", 4)
    assert [(stage.points, stage.share) for stage in plan.stages] == [((4, 9, 14, 19), 1.0)]


def test_plateau_takes_the_last_point_before_each_drop_and_the_end(make_route: Make) -> None:
    reasons = ["epoch", "before drop", "epoch", "epoch", "before drop", "last"]
    plan = make_plan(make_route(6, reasons), "plateau", anchors=2)  # their number follows from the route
    assert anchor_points(plan) == [1, 4, 5]


@pytest.mark.parametrize("reasons", [["epoch", "epoch", "last"], ["imported"] * 3])
def test_a_route_without_plateaus_is_refused_and_other_strategies_named(make_route: Make, reasons: list[str]) -> None:
    with pytest.raises(RouteError, match=r"no plateaus.*training\.lr_schedule=step; use --strategy equal or greedy"):
        make_plan(make_route(3, reasons), "plateau")


@pytest.mark.parametrize(("count", "first"), [(1, 0), (20, 0), (21, 1), (40, 1), (100, 4), (240, 11)])
def test_greedy_begins_at_a_twentieth_of_the_route(make_route: Make, count: int, first: int) -> None:
    plan = make_plan(make_route(count), "greedy", 4, delta=0.7)
    assert anchor_points(plan) == [first]
    assert (plan.stages[0].share, plan.growth) == (0.25, Growth(0.7, 0.25))


def test_manual_takes_what_is_named_in_that_order(make_route: Make) -> None:
    plan = make_plan(make_route(10), "manual", points=[7, 0, 7])
    assert anchor_points(plan) == [7, 0, 7]
    assert plan.stages[1].reason == "chosen by hand; epoch 1"


@pytest.mark.parametrize("strategy", [*STRATEGIES, "manual"])
def test_every_stage_gets_an_equal_share_and_a_reason(make_route: Make, strategy: str) -> None:
    plan = make_plan(make_route(9, ["before drop"] * 2), strategy, 2, points=[0, 3])
    assert (plan.strategy, plan.growth) == (strategy, None)
    assert {stage.share for stage in plan.stages} == {1 / len(plan.stages)}
    assert all("; epoch " in stage.reason for stage in plan.stages)


@pytest.mark.parametrize(("arguments", "message"), [
    (("equal", 11), "11 anchors need as many points.* has 10"), (("mean", 11), "11 anchors need as many points"),
    (("equal", 0), "at least 1 anchor, not 0"), (("greedy", 0), "at least 1 anchor, not 0"),
    (("manual", 4, [10]), r"between 0 and 9, not \[10\]"), (("manual", 4, []), "not none"),
    (("manual", 4, [-1]), r"not \[-1\]"), (("greedy", 1), "at least 2 stages; for one, use --strategy final"),
    (("greedy", 4, (), 0), r"delta must be in \(0, 1\], not 0"), (("greedy", 4, (), 1.5), r"not 1\.5"),
    (("best", 4), "unknown strategy 'best': valid names: equal, final, greedy"),
    (("plato", 4), "unknown strategy 'plato': did you mean 'plateau'"),
])
def test_what_cannot_be_planned_is_refused(make_route: Make, arguments: Any, message: str) -> None:
    with pytest.raises(RouteError, match=message):
        make_plan(make_route(10), *arguments)


def test_an_empty_route_is_refused(make_route: Make) -> None:
    with pytest.raises(RouteError, match="no points yet"):
        make_plan(make_route(0), "final", 1)
