"""The plan: which points of a route a student follows, why, and for how long; a JSON file to be read and edited.

A greedy plan begins with one leg and grows while the student walks; what a run has walked is a plan again.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from facekd.errors import RouteError
from facekd.route.route import Route
from facekd.utils import files

VERSION = 2
"""1: a leg had one point and a plan did not grow."""


@dataclass(frozen=True)
class Leg:
    """One stage of a plan.

    Attributes:
        points: numbers of the anchors in the route, from 0; of several the student follows the mean of the outputs.
        why: a sentence on the choice.
        share: part of the student's epochs spent on it; the shares of a whole plan sum to 1.
    """

    points: tuple[int, ...]
    why: str
    share: float


@dataclass(frozen=True)
class Growth:
    """How a greedy plan goes on, see `facekd.route.anchor_schedule`.

    Attributes:
        delta: in (0, 1], how far ahead of the student the next anchor may lie; 1 is nearest.
        share: part of the epochs that each leg gets, but for the last, which takes what is left.
    """

    delta: float
    share: float


@dataclass(frozen=True)
class Plan:
    """The legs of a student's way along a route.

    Attributes:
        route: the folder of the route.
        strategy: how the legs were chosen.
        legs: in the order they are walked.
        growth: of a greedy plan that is not walked to its end; None for all others.
    """

    route: Path
    strategy: str
    legs: Sequence[Leg]
    growth: Growth | None = None

    def write(self, path: Path) -> None:
        """Write ``plan.json`` atomically; the route is named relative to it, so that both can be moved together."""
        route = os.path.relpath(self.route.resolve(), path.resolve().parent)
        content: dict[str, Any] = {
            "route": route, "strategy": self.strategy, "legs": [asdict(leg) for leg in self.legs],
            "growth": asdict(self.growth) if self.growth else None,
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
            legs = [_leg(leg) for leg in content["legs"]]
            growth = Growth(**content["growth"]) if content.get("growth") else None
            plan = cls(path.parent / content["route"], content["strategy"], legs, growth)
        except (KeyError, TypeError, ValueError) as error:
            raise RouteError(f"{path} is damaged ({error!r}); correct it, or make it again by 'facekd plan'") from error
        route = Route.open(plan.route)
        lacking = sorted({p for leg in legs for p in leg.points if not 0 <= p < len(route.points)})
        if lacking:
            raise RouteError(
                f"{path} names points {', '.join(map(str, lacking))}, the route {route.folder} has points 0 to "
                f"{len(route.points) - 1}; correct the plan, or make it again by 'facekd plan'"
            )
        plan._check_shares(path)
        return plan, route

    def _check_shares(self, path: Path) -> None:
        shares = [leg.share for leg in self.legs]
        whole = sum(shares) < 1 if self.growth else abs(sum(shares) - 1) <= 1e-6
        if not shares or not whole or min(shares) <= 0 or not all(leg.points for leg in self.legs):
            wanted = "sum to less than 1, since it grows" if self.growth else "sum to 1"
            raise RouteError(
                f"{path}: every leg is to have points and a positive share, and the shares are to {wanted}; they sum "
                f"to {sum(shares):g}: correct them"
            )
        if self.growth and not (0 < self.growth.delta <= 1 and 0 < self.growth.share < 1):
            raise RouteError(f"{path}: delta is to be in (0, 1] and the share of a leg in (0, 1); correct them")


def _leg(content: Mapping[str, Any]) -> Leg:
    points = content["points"] if "points" in content else [content["point"]]
    return Leg(tuple(int(point) for point in points), str(content["why"]), float(content["share"]))
