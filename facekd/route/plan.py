"""The plan: which points of a route a student follows, why, and for how long; a JSON file to be read and edited."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from facekd import files
from facekd.errors import RouteError
from facekd.route.route import Route

VERSION = 1
STRATEGIES = ("equal", "final", "manual")


@dataclass(frozen=True)
class Leg:
    """One stage of a plan.

    Attributes:
        point: number of the anchor in the route, from 0.
        why: a sentence on the choice.
        share: part of the student's epochs spent on it; the plan's shares sum to 1.
    """

    point: int
    why: str
    share: float


@dataclass(frozen=True)
class Plan:
    """The legs of a student's way along a route."""

    route: Path
    strategy: str
    legs: Sequence[Leg]

    def write(self, path: Path) -> None:
        """Write ``plan.json`` atomically; the route is named relative to it, so that both can be moved together."""
        route = os.path.relpath(self.route.resolve(), path.resolve().parent)
        content: dict[str, Any] = {
            "route": route, "strategy": self.strategy, "legs": [asdict(leg) for leg in self.legs],
        }
        files.write_versioned(path, "plan", VERSION, content)

    @classmethod
    def read(cls, path: Path | str) -> tuple[Plan, Route]:
        """Read a plan and open its route.

        Raises:
            RouteError: the plan is damaged, names a point the route lacks, or its shares do not sum to 1.
        """
        path = Path(path)
        content = files.read_versioned(path, "plan", VERSION, RouteError)
        try:
            legs = [Leg(int(leg["point"]), str(leg["why"]), float(leg["share"])) for leg in content["legs"]]
            plan = cls(path.parent / content["route"], content["strategy"], legs)
        except (KeyError, TypeError, ValueError) as error:
            raise RouteError(f"{path} is damaged ({error!r}); correct it, or make it again by 'facekd plan'") from error
        route = Route.open(plan.route)
        lacking = sorted({leg.point for leg in legs if not 0 <= leg.point < len(route.points)})
        if lacking:
            raise RouteError(
                f"{path} names points {', '.join(map(str, lacking))}, the route {route.folder} has points 0 to "
                f"{len(route.points) - 1}; correct the plan, or make it again by 'facekd plan'"
            )
        total = sum(leg.share for leg in legs)
        if not legs or not abs(total - 1) <= 1e-6 or min(leg.share for leg in legs) <= 0:
            raise RouteError(
                f"{path}: the shares of its legs are to be positive and sum to 1, not {total:g}; correct them"
            )
        return plan, route


def make_plan(route: Route, strategy: str, anchors: int = 4, points: Sequence[int] = ()) -> Plan:
    """Choose anchors.

    Args:
        route: what the teacher recorded.
        strategy: ``equal``: ``anchors`` points at equal distance along the route, the last one its end
            (Equal Epoch Interval, Jin et al., ICCV 2019); ``final``: the end of the route ``anchors`` times, which is
            plain mimicking for one and the restart control of RCO for more; ``manual``: the given ``points``.
        anchors: number of stages.
        points: for ``manual``.

    Raises:
        RouteError: fewer points than anchors, or points the route lacks.
    """
    count = len(route.points)
    if not count:
        raise RouteError(f"the route {route.folder} has no points yet; let the teacher train first")
    if anchors < 1:
        raise RouteError(f"a plan needs at least 1 anchor, not {anchors}")
    if strategy == "final":
        chosen = [count - 1] * anchors
        why = (
            "the end of the route" if anchors == 1
            else "the end of the route again: the restarts of RCO without its anchors"
        )
    elif strategy == "equal":
        if anchors > count:
            raise RouteError(
                f"{anchors} anchors need as many points, the route {route.folder} has {count}; "
                "record more, or plan fewer"
            )
        chosen = [-(-count * (i + 1) // anchors) - 1 for i in range(anchors)]
        why = f"equal distance along the {count} points"
    elif strategy == "manual":
        lacking = [p for p in points if not 0 <= p < count]
        if lacking or not points:
            raise RouteError(f"manual plans name points between 0 and {count - 1}, not {lacking or 'none'}")
        chosen, why = list(points), "chosen by hand"
    else:
        raise RouteError(f"unknown strategy '{strategy}'; valid strategies: {', '.join(STRATEGIES)}")
    legs = [Leg(point, f"{why}; epoch {route.points[point].epoch:g}", 1 / len(chosen)) for point in chosen]
    return Plan(route.folder, strategy, legs)
