"""Anchor strategies: which points of a route make a plan."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from facekd.errors import RouteError, nearest
from facekd.route.plan import Growth, Leg, Plan
from facekd.route.route import Route

FIRST = 0.05
"""How far along its route a greedy walk begins; our choice."""


def make_plan(route: Route, strategy: str, anchors: int = 4, points: Sequence[int] = (), delta: float = 0.8) -> Plan:
    """Choose anchors.

    Args:
        route: what the teacher recorded.
        strategy: a key of ``STRATEGIES``.
        anchors: number of stages; of anchors for ``mean``; for ``greedy`` the most stages there can be.
        points: for ``manual``.
        delta: for ``greedy``, see `facekd.route.anchor_schedule`.

    Raises:
        RouteError: fewer points than anchors, points the route lacks, or an unknown strategy.
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
        raise RouteError(f"unknown strategy '{strategy}': {nearest(strategy, [*STRATEGIES, 'greedy', 'manual'])}")
    return STRATEGIES[strategy](route, anchors)


def _equal(route: Route, anchors: int) -> Plan:
    """``anchors`` points at equal distance, the last one the end (Equal Epoch Interval, Jin et al., ICCV 2019)."""
    why = f"equal distance along the {len(route.points)} points"
    return _plan(route, "equal", [(p,) for p in _spread(route, anchors)], why)


def _final(route: Route, anchors: int) -> Plan:
    """The end of the route again and again: plain distillation for one, the restart control of RCO for more."""
    again = " again: the restarts of RCO without its anchors" if anchors > 1 else ""
    return _plan(route, "final", [(len(route.points) - 1,)] * anchors, f"the end of the route{again}")


def _mean(route: Route, anchors: int) -> Plan:
    """One stage after the mean of ``anchors`` equally spaced points: a snapshot ensemble, RCO's points all at once."""
    why = f"the mean of {anchors} points at equal distance along the {len(route.points)}"
    return _plan(route, "mean", [tuple(_spread(route, anchors))], why)


def _plateau(route: Route, anchors: int) -> Plan:
    """The last point of every plateau of the teacher's learning rate."""
    chosen = [i for i, point in enumerate(route.points) if point.reason in ("before drop", "last")]
    if len(chosen) < 2:
        raise RouteError(
            f"the learning rate of the route {route.folder} has no plateaus: its teacher was not trained with "
            "schedule.shape=step; use --strategy equal or greedy"
        )
    return _plan(route, "plateau", [(p,) for p in chosen], "the last point of a plateau of the learning rate")


STRATEGIES: dict[str, Callable[[Route, int], Plan]] = {
    "equal": _equal, "final": _final, "mean": _mean, "plateau": _plateau,
}


def _manual(route: Route, points: Sequence[int]) -> Plan:
    """The given points, one stage each."""
    lacking = [p for p in points if not 0 <= p < len(route.points)]
    if lacking or not points:
        raise RouteError(f"manual plans name points between 0 and {len(route.points) - 1}, not {lacking or 'none'}")
    return _plan(route, "manual", [(p,) for p in points], "chosen by hand")


def _greedy(route: Route, anchors: int, delta: float) -> Plan:
    """An early point; the others are chosen while the student walks."""
    if not 0 < delta <= 1:
        raise RouteError(f"delta is to be in (0, 1], not {delta:g}; 0.8 lets the student leap less far than 0.5")
    if anchors < 2:
        raise RouteError("a greedy walk needs at least 2 stages; for one, use --strategy final")
    first = max(0, math.ceil(FIRST * len(route.points)) - 1)
    leg = Leg((first,), f"where a greedy walk begins; epoch {route.points[first].epoch:g}", 1 / anchors)
    return Plan(route.folder, "greedy", [leg], Growth(delta, 1 / anchors))


def _spread(route: Route, anchors: int) -> list[int]:
    count = len(route.points)
    if anchors > count:
        raise RouteError(
            f"{anchors} anchors need as many points, the route {route.folder} has {count}; record more, or plan fewer"
        )
    return [-(-count * (i + 1) // anchors) - 1 for i in range(anchors)]


def _plan(route: Route, strategy: str, chosen: Sequence[tuple[int, ...]], why: str) -> Plan:
    def epochs(points: tuple[int, ...]) -> str:
        return ", ".join(f"{route.points[p].epoch:g}" for p in points)

    legs = [Leg(points, f"{why}; epoch {epochs(points)}", 1 / len(chosen)) for points in chosen]
    return Plan(route.folder, strategy, legs)
