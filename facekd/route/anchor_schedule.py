"""A student's walk along a plan: its stages one after the other, and the greedy choice of the next anchor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from facekd import distributed as ranks
from facekd.route.plan import Leg, Plan
from facekd.route.route import Route
from facekd.training.method import Stage

Distances = Callable[[Sequence[int]], list[float]]
"""From point numbers to the congruence loss of the student, as it is now, with each, on data withheld from training."""


class Walk:
    """The stages of one run; ``plan.json`` in the run's folder says at any time what has been chosen so far.

    The greedy search of Route Constrained Optimization (Jin et al., ICCV 2019, in our reading: the paper's own delta is
    not known to us): with H(S, j) the congruence loss of student S with point j, the anchor after i is the last point
    j > i with H(S, i) / H(S, j) >= delta, or else point i + 1; the end of the route is the anchor of the last leg.

    Args:
        plan: what to walk.
        route: of the plan.
        file: where the plan of this run is kept; one that is there is continued.
        epochs: of the whole training.
        distances: for a greedy plan, asked at the end of a leg; the same for all processes.
    """

    def __init__(self, plan: Plan, route: Route, file: Path, epochs: float, distances: Distances) -> None:
        self.route, self.file, self.epochs, self._distances = route, file, epochs, distances
        self.plan = Plan.read(file)[0] if file.exists() else plan
        ranks.wait()  # until all have looked
        if not file.exists() and ranks.leads():
            plan.write(file)

    def __call__(self, number: int) -> Stage:
        """Stage ``number``, from 0; of a greedy plan the next one is chosen by the student as it is now."""
        if number >= len(self.plan.legs):
            self.plan = self._grown()
            if ranks.leads():
                self.plan.write(self.file)
        legs = self.plan.legs[: number + 1]
        last = self.plan.growth is None and number == len(self.plan.legs) - 1
        until = self.epochs if last else self.epochs * sum(leg.share for leg in legs)
        return Stage(until, legs[-1].points)

    def _grown(self) -> Plan:
        plan, growth = self.plan, self.plan.growth
        if growth is None:
            raise IndexError(f"the plan has {len(plan.legs)} legs")
        here, end = plan.legs[-1].points[0], len(self.route.points) - 1
        left = 1 - sum(leg.share for leg in plan.legs)
        point, why = end, "the end of the route, for what is left of the epochs"
        if left > growth.share * 1.5 and here < end:
            point, why = self._reach(here, growth.delta)
        if point == end:
            return replace(plan, legs=[*plan.legs, Leg((end,), why, left)], growth=None)
        return replace(plan, legs=[*plan.legs, Leg((point,), why, growth.share)])

    def _reach(self, here: int, delta: float) -> tuple[int, str]:
        """The hardest point still within reach of the student that has just been trained on point ``here``."""
        points = range(here, len(self.route.points))
        own, *later = self._distances(points)
        near = [p for p, distance in zip(points[1:], later, strict=True) if own >= delta * distance]
        point = near[-1] if near else here + 1
        ratio = own / max(later[point - here - 1], 1e-12)
        found = f"the last point within delta {delta:g}" if near else f"no point within delta {delta:g}: the next"
        return point, f"{found} (ratio {ratio:.3f}); epoch {self.route.points[point].epoch:g}"
