"""``facekd plan`` and ``facekd route import``: choose anchors, or make a route of a teacher that exists."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from facekd.route.plan import Plan, make_plan
from facekd.route.route import Route


def plan(route: Path | str, out: Path | str, strategy: str = "equal", anchors: int = 4,
         points: Sequence[int] = ()) -> Plan:
    """Choose anchors on a route and write them as ``plan.json``.

    Args:
        route: a run of teach, or a route folder.
        out: the file to write.
        strategy: ``equal``, ``final`` or ``manual``, see `facekd.route.plan.make_plan`.
        anchors: number of stages.
        points: for ``manual``.

    Raises:
        RouteError: no such route or points.
    """
    chosen = make_plan(Route.open(route), strategy, anchors, points)
    chosen.write(Path(out))
    return chosen
