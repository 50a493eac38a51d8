from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from facekd.errors import RouteError
from facekd.route.plan import Growth, Plan
from facekd.route.profile import PointProfile
from facekd.route.route import Route
from facekd.route.strategies import MEASURED_STRATEGIES, STRATEGIES, make_plan

Make = Callable[..., Route]


def anchor_points(plan: Plan) -> list[int]:
    assert all(len(stage.points) == 1 for stage in plan.stages)
    return [stage.points[0] for stage in plan.stages]


def measured(
    route: Route, metric: Sequence[float | None] = (), changes: Sequence[float | None] = ()
) -> list[PointProfile]:
    """The profile of a route with the metric and the net change of every point."""
    metric = metric or [None] * len(route.points)
    changes = changes or [number / max(1, len(route.points) - 1) for number in range(len(route.points))]
    return [PointProfile(number, point, value, "accuracy", change, 0.0)
            for number, (point, value, change) in enumerate(zip(route.points, metric, changes, strict=True))]


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


@pytest.mark.parametrize("count", [1, 20, 240])
def test_greedy_leaves_every_stage_to_the_student(make_route: Make, count: int) -> None:
    plan = make_plan(make_route(count), "greedy", 4, delta=0.7)
    assert (list(plan.stages), plan.growth) == ([], Growth(0.7, 0.25))


TRANSITION = [0.5] * 6 + [0.601, 0.682, 0.992] + [1.0] * 15
"""The accuracy of a teacher of sparse parity, whose phase transition is at the points 6 to 8."""


@pytest.mark.parametrize(("metric", "anchors", "points"), [
    (TRANSITION, 4, [7, 8, 23]),  # 50 % and 75 % of the way are made at the same point
    (TRANSITION, 2, [8, 23]), (TRANSITION, 5, [6, 8, 23]), (TRANSITION, 1, [23]),
    ([0.1, 0.3, 0.5, 0.7, 0.9], 4, [1, 2, 3, 4]),  # exactly on the way, also after rounding
    ([0.0, 0.6, 0.2, 0.7, 1.0], 2, [1, 4]),  # the first crossing of a metric that is not monotonic
    ([0.0, 2.0, 1.0], 4, [1, 2]), ([0.2, 0.1, 0.0, 0.3], 3, [3]),
])
def test_progress_takes_the_first_points_with_equal_parts_of_the_gain(
    make_route: Make, metric: list[float], anchors: int, points: list[int]
) -> None:
    route = make_route(len(metric))
    plan = make_plan(route, "progress", anchors, profile=measured(route, metric))
    assert anchor_points(plan) == points
    assert [stage.share for stage in plan.stages] == [1 / len(points)] * len(points)


def test_a_stage_of_progress_names_metric_share_and_epoch(make_route: Make) -> None:
    route = make_route(3)
    plan = make_plan(route, "progress", 2, profile=measured(route, [0.5, 0.875, 1.0]))
    assert [stage.reason for stage in plan.stages] == [
        "accuracy 0.875, 75% of its way from the first point to the end; epoch 2",
        "accuracy 1, 100% of its way from the first point to the end; epoch 3",
    ]


@pytest.mark.parametrize(("metric", "message"), [
    ([0.5, 0.9, 0.5], "makes no progress.* its accuracy is 0.5 at the first point and 0.5 at the end; use --strategy"),
    ([0.9, 0.8], "0.9 at the first point and 0.8 at the end.*change or equal.*earlier points"),
    ([0.9], "makes no progress"), ([None, None], "need pairs of one identity and of two; use --strategy change"),
])
def test_a_route_without_progress_is_refused(make_route: Make, metric: list[float | None], message: str) -> None:
    route = make_route(len(metric))
    with pytest.raises(RouteError, match=message):
        make_plan(route, "progress", profile=measured(route, metric))


@pytest.mark.parametrize(("changes", "anchors", "points"), [
    ([0.0, 0.25, 0.5, 0.75, 1.0], 4, [1, 2, 3, 4]), ([0.0, 0.02, -0.01, 0.95, 0.97, 1.0], 4, [3, 5]),
    ([0.0, 0.6, 0.4, 1.1, 1.0], 4, [1, 3, 4]), ([0.0, 0.9, 1.0], 1, [2]),
])
def test_change_takes_the_first_points_with_equal_parts_of_the_net_change(
    make_route: Make, changes: list[float], anchors: int, points: list[int]
) -> None:
    route = make_route(len(changes))
    plan = make_plan(route, "change", anchors, profile=measured(route, changes=changes))
    assert anchor_points(plan) == points
    assert {stage.share for stage in plan.stages} == {1 / len(points)}
    assert plan.stages[-1].reason == (
        f"100% of the net change of the teacher's outputs; epoch {len(changes)}")


@pytest.mark.parametrize("points", [1, 3])
def test_a_teacher_that_does_not_change_is_refused(make_route: Make, points: int) -> None:
    route = make_route(points)
    changes = [None] * points
    with pytest.raises(RouteError, match=r"do not change.*use --strategy final"):
        make_plan(route, "change", profile=measured(route, changes=changes))


@pytest.mark.parametrize("strategy", MEASURED_STRATEGIES)
def test_without_measurements_the_strategies_that_work_are_named(make_route: Make, strategy: str) -> None:
    route = make_route(3)
    for profile in ([], [PointProfile(number, point) for number, point in enumerate(route.points)]):
        with pytest.raises(RouteError, match=f"'{strategy}' measures.*use --strategy equal, final, mean, manual or"):
            make_plan(route, strategy, profile=profile)


def test_manual_takes_what_is_named_in_that_order(make_route: Make) -> None:
    plan = make_plan(make_route(10), "manual", points=[7, 0, 7])
    assert anchor_points(plan) == [7, 0, 7]
    assert plan.stages[1].reason == "chosen by hand; epoch 1"


@pytest.mark.parametrize("strategy", [*STRATEGIES, *MEASURED_STRATEGIES, "manual"])
def test_every_stage_gets_an_equal_share_and_a_reason(make_route: Make, strategy: str) -> None:
    route = make_route(9, ["before drop"] * 2)
    profile = measured(route, [number / 9 for number in range(9)])
    plan = make_plan(route, strategy, 2, points=[0, 3], profile=profile)
    assert (plan.strategy, plan.growth) == (strategy, None)
    assert {stage.share for stage in plan.stages} == {1 / len(plan.stages)}
    assert all("; epoch " in stage.reason for stage in plan.stages)


@pytest.mark.parametrize(("arguments", "message"), [
    (("equal", 11), "11 anchors need as many points.* has 10"), (("mean", 11), "11 anchors need as many points"),
    (("equal", 0), "at least 1 anchor, not 0"), (("greedy", 0), "at least 1 anchor, not 0"),
    (("manual", 4, [10]), r"between 0 and 9, not \[10\]"), (("manual", 4, []), "not none"),
    (("manual", 4, [-1]), r"not \[-1\]"), (("greedy", 1), "at least 2 stages; for one, use --strategy final"),
    (("greedy", 4, (), 0), r"delta must be in \(0, 1\], not 0"), (("greedy", 4, (), 1.5), r"not 1\.5"),
    (("best", 4), "unknown strategy 'best': valid names: change, equal, final, greedy"),
    (("plato", 4), "unknown strategy 'plato': did you mean 'plateau'"),
])
def test_what_cannot_be_planned_is_refused(make_route: Make, arguments: Any, message: str) -> None:
    with pytest.raises(RouteError, match=message):
        make_plan(make_route(10), *arguments)


def test_an_empty_route_is_refused(make_route: Make) -> None:
    with pytest.raises(RouteError, match="no points yet"):
        make_plan(make_route(0), "final", 1)
