"""The plan: which points of a route a student follows, for how long and why; a JSON file that can be edited by hand.

A greedy plan begins without stages, because the student chooses its first anchor, and grows during the training. The
stages that a run has followed are a plan again.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict

from facekd.config.common import PathText
from facekd.errors import RouteError
from facekd.io import files
from facekd.io.records import Count, Record
from facekd.route.rotation import read_rotations, rotations_file, write_rotations
from facekd.route.route import Route
from facekd.text import path_text, shorten

VERSION = 3
REMEDY = "make it again by 'facekd plan'"
SHARE_TOLERANCE = 1e-6
"""The largest difference between 1 and the sum of the shares of a complete plan."""


@dataclass(frozen=True)
class PlanStage:
    """One stage of a plan.

    Attributes:
        points: the numbers of the anchors in the route, from 0; with several the student follows the mean of their
            outputs.
        reason: a sentence on the choice.
        share: the share of the student's epochs that the stage takes; the shares of a complete plan sum to 1.
    """

    points: tuple[Count, ...]
    reason: str
    share: float


@dataclass(frozen=True)
class Growth:
    """The rule by which a greedy plan grows, see `facekd.route.anchor_schedule`.

    Attributes:
        delta: how much of the gradient agreement the next anchor must have, in (0, 1].
        share: the share of the epochs of each stage but the last, which takes the rest.
    """

    delta: float
    share: float


@dataclass(frozen=True)
class Plan:
    """The stages of a student's training along a route.

    Attributes:
        route: the folder of the route.
        strategy: the strategy that chose the stages.
        stages: the stages in the order of the training; may be empty if the plan grows.
        growth: the growth rule of a greedy plan that is not complete; None for all other plans.
        rotations: for an aligned plan: by point number, the rotation of its embeddings into the basis of the end of the
            route, float32 [D, D], see `facekd.route.rotation`. They are in a file beside the plan. The end has none.
    """

    route: Path
    strategy: str
    stages: Sequence[PlanStage]
    growth: Growth | None = None
    rotations: Mapping[int, NDArray[np.float32]] = field(default_factory=dict, compare=False)

    def first_points(self, route: Route) -> tuple[int, ...]:
        """Return the points of the first stage; if it is not chosen yet, the end of the route.

        All points of a route have outputs of the same size.
        """
        return self.stages[0].points if self.stages else (len(route.points) - 1,)

    def describe_strategy(self) -> str:
        """Return the strategy in words, for the facts of a run."""
        return f"{self.strategy}, aligned" if self.rotations else self.strategy

    def write(self, path: Path) -> None:
        """Write ``plan.json`` atomically; the path of the route is relative, so that both can be moved together."""
        route = os.path.relpath(self.route.resolve(), path.resolve().parent)
        content: dict[str, Any] = {
            "route": route, "strategy": self.strategy, "stages": [asdict(stage) for stage in self.stages],
            "growth": asdict(self.growth) if self.growth else None,
        }
        if self.rotations:
            content["aligned"] = True
            write_rotations(rotations_file(path), self.rotations)
        files.write_versioned(path, "plan", VERSION, content)

    @classmethod
    def read(cls, path: Path | str) -> tuple[Plan, Route]:
        """Read a plan and open its route.

        Raises:
            RouteError: the plan is damaged or of an older version, names a point that the route does not have, or has
                shares that do not sum to 1.
        """
        path = Path(path)
        record = files.read_versioned(path, "plan", VERSION, RouteError, schema=_PlanRecord, remedy=REMEDY)
        rotations = read_rotations(rotations_file(path)) if record.aligned else {}
        plan = cls(path.parent / record.route, record.strategy, record.stages, record.growth, rotations)
        route = Route.open(plan.route)
        absent = sorted({point for stage in plan.stages for point in stage.points if point >= len(route.points)})
        if absent:
            raise RouteError(
                f"{path_text(path)} names points {shorten(', '.join(map(str, absent)))}, the route "
                f"{path_text(route.folder)} has points 0 to {len(route.points) - 1}; correct the plan, or {REMEDY}"
            )
        plan._check_shares(path)
        plan._check_rotations(path, route)
        return plan, route

    def _check_rotations(self, path: Path, route: Route) -> None:
        """Check that a plan with rotations has one for every point but the end, also after it was edited by hand."""
        points = {point for stage in self.stages for point in stage.points}
        sizes = {len(rotation) for rotation in self.rotations.values()}
        if route.spec and sizes - {route.spec.outputs}:
            raise RouteError(f"{path_text(rotations_file(path))} rotates embeddings of length "
                             f"{shorten(', '.join(map(str, sorted(sizes))))}, those of the route have "
                             f"{route.spec.outputs}; make the plan again by 'facekd plan --aligned'")
        if self.rotations and (missing := points - {len(route.points) - 1} - set(self.rotations)):
            raise RouteError(f"{path_text(path)} is aligned and has no rotation for points "
                             f"{shorten(', '.join(map(str, sorted(missing))))}; make it again by 'facekd plan "
                             "--aligned'")

    def _check_shares(self, path: Path) -> None:
        shares = [stage.share for stage in self.stages]
        total = sum(shares)
        total_is_valid = total < 1 if self.growth else abs(total - 1) <= SHARE_TOLERANCE
        stages_are_valid = all(stage.points and stage.share > 0 for stage in self.stages)
        if not total_is_valid or not stages_are_valid:
            expected = "sum to less than 1, because the plan grows" if self.growth else "sum to 1"
            raise RouteError(
                f"{path_text(path)}: every stage needs points and a positive share, and the shares must {expected}; "
                f"they sum to {total:g}: correct them"
            )
        if self.growth and not (0 < self.growth.delta <= 1 and 0 < self.growth.share < 1):
            raise RouteError(f"{path_text(path)}: delta must be in (0, 1] and the share of a stage in (0, 1); correct "
                             "them")


class _PlanRecord(Record):
    """The content of ``plan.json``."""

    model_config = ConfigDict(strict=False)  # a strict model takes no mapping for a dataclass

    route: PathText
    strategy: str
    stages: list[PlanStage]
    growth: Growth | None = None
    aligned: bool = False
