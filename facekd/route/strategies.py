"""Anchor strategies: rules that choose the points of a route for a plan."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from facekd.errors import RouteError, did_you_mean
from facekd.route.plan import Growth, Plan, PlanStage
from facekd.route.route import Route

GREEDY_START_SHARE = 0.05
"""The share of the route at which a greedy plan begins; our choice."""


def make_plan(route: Route, strategy: str, anchors: int = 4, points: Sequence[int] = (), delta: float = 0.8) -> Plan:
    """Choose the anchors of a plan.

    Args:
        route: the recorded route of the teacher.
        strategy: a key of ``STRATEGIES``, ``greedy`` or ``manual``.
        anchors: the number of stages; for ``mean`` the number of anchors; for ``greedy`` the largest number of stages.
        points: the points of a ``manual`` plan.
        delta: the delta of a ``greedy`` plan, see `facekd.route.anchor_schedule`.

    Raises:
        RouteError: the route has fewer points than anchors or lacks a point, or the strategy is unknown.
    """
    if not route.points:
        raise RouteError(f"the route {route.folder} has no points yet; let the teacher train first")
    if anchors < 1:
        raise RouteError(f"a plan needs at least 1 anchor, not {anchors}")
    if strategy == "manual":
        return _manual(route, points)
    if strategy == "greedy":
        return _greedy(route, anchors, delta)
    if strategy not in STRATEGIES:
        raise RouteError(
            f"unknown strategy '{strategy}': {did_you_mean(strategy, [*STRATEGIES, 'greedy', 'manual'])}")
    return STRATEGIES[strategy](route, anchors)


def _equal(route: Route, anchors: int) -> Plan:
    """Choose ``anchors`` points at equal distance up to the end (Equal Epoch Interval, Jin et al., ICCV 2019)."""
    reason = f"equal distance along the {len(route.points)} points"
    return _build_plan(route, "equal", [(point,) for point in _equal_points(route, anchors)], reason)


def _final(route: Route, anchors: int) -> Plan:
    """Repeat the end of the route: one stage is plain distillation, several are the restart control of RCO."""
    suffix = " again: the restarts of RCO without its anchors" if anchors > 1 else ""
    return _build_plan(route, "final", [(len(route.points) - 1,)] * anchors, f"the end of the route{suffix}")


def _mean(route: Route, anchors: int) -> Plan:
    """Follow the mean of ``anchors`` equally spaced points in one stage: a snapshot ensemble."""
    reason = f"the mean of {anchors} points at equal distance along the {len(route.points)}"
    return _build_plan(route, "mean", [tuple(_equal_points(route, anchors))], reason)


def _plateau(route: Route, anchors: int) -> Plan:
    """Choose the last point of every plateau of the teacher's learning rate."""
    points = [number for number, point in enumerate(route.points) if point.reason in ("before drop", "last")]
    if len(points) < 2:
        raise RouteError(
            f"the learning rate of the route {route.folder} has no plateaus: its teacher was not trained with "
            "training.lr_schedule=step; use --strategy equal or greedy"
        )
    reason = "the last point of a plateau of the learning rate"
    return _build_plan(route, "plateau", [(point,) for point in points], reason)


STRATEGIES: dict[str, Callable[[Route, int], Plan]] = {
    "equal": _equal, "final": _final, "mean": _mean, "plateau": _plateau,
}


def _manual(route: Route, points: Sequence[int]) -> Plan:
    """Follow the given points, one in each stage."""
    absent = [point for point in points if not 0 <= point < len(route.points)]
    if absent or not points:
        raise RouteError(f"manual plans name points between 0 and {len(route.points) - 1}, not {absent or 'none'}")
    return _build_plan(route, "manual", [(point,) for point in points], "chosen by hand")


def _greedy(route: Route, anchors: int, delta: float) -> Plan:
    """Choose an early point; the training chooses the others, see `facekd.route.anchor_schedule`."""
    if not 0 < delta <= 1:
        raise RouteError(f"delta must be in (0, 1], not {delta:g}; 0.8 makes shorter steps along the route than 0.5")
    if anchors < 2:
        raise RouteError("a greedy plan needs at least 2 stages; for one, use --strategy final")
    first = max(0, math.ceil(GREEDY_START_SHARE * len(route.points)) - 1)
    reason = f"the start of a greedy plan; epoch {route.points[first].epoch:g}"
    stage = PlanStage((first,), reason, 1 / anchors)
    return Plan(route.folder, "greedy", [stage], Growth(delta, 1 / anchors))


def _equal_points(route: Route, anchors: int) -> list[int]:
    """Return ``anchors`` point numbers at equal distance: -(-a // b) rounds a / b up, so that the last is the end."""
    count = len(route.points)
    if anchors > count:
        raise RouteError(
            f"{anchors} anchors need as many points, the route {route.folder} has {count}; record more, or plan fewer"
        )
    return [-(-count * (number + 1) // anchors) - 1 for number in range(anchors)]


def _build_plan(route: Route, strategy: str, anchors: Sequence[tuple[int, ...]], reason: str) -> Plan:
    """Build a plan whose stages take equal shares of the epochs."""
    stages = []
    for points in anchors:
        epochs = ", ".join(f"{route.points[point].epoch:g}" for point in points)
        stages.append(PlanStage(points, f"{reason}; epoch {epochs}", 1 / len(anchors)))
    return Plan(route.folder, strategy, stages)
