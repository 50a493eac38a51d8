"""The anchor schedule of a distillation: the stages of its plan in order, and the greedy choice of the next anchor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from facekd.distributed import barrier, is_main_process
from facekd.route.plan import Plan, PlanStage
from facekd.route.route import Route
from facekd.training.method import Stage

StudentAgreement = Callable[[Sequence[int]], list[float]]
"""Maps point numbers to the agreement of the current student with each of them, see `facekd.route.agreement`."""

MAX_CANDIDATES = 24
"""The largest number of points among which a stage is chosen, at equal distance along the later part of the route. With
5% of the images held out, 24 backward passes for each of them take less time than an epoch of training."""


class AnchorSchedule:
    """The stages of one run; ``plan.json`` in the run folder always holds the stages chosen so far.

    The greedy search is ours, after that of Route Constrained Optimization (Jin et al., ICCV 2019), which moves on to
    the last point j with H(S, i) / H(S, j) >= delta, where H is the distance between student and point. In its place we
    use the gradient agreement A of `facekd.route.agreement`:

    * The first anchor is chosen by the student as it is at the start: the last point j with A(S, j) >= delta max A, the
      highest agreement with any point.
    * The anchor after point i is the last point j > i with A(S, j) >= delta A(S, i), or else the end of the route. The
      agreement with i decreases while the student approaches i.
    * The end of the route is the anchor of the last stage, which takes all epochs that are left. If the end is chosen
      first, the plan is plain distillation.

    Args:
        plan: the plan to follow.
        route: the route of the plan.
        file: the path of this run's plan; an existing file is continued.
        epochs: the length of the whole training in epochs.
        agreement: measures the student at the beginning and at the end of a stage; only a greedy plan needs it. All
            processes call it together, and get the same values.
    """

    def __init__(self, plan: Plan, route: Route, file: Path, epochs: float,
                 agreement: StudentAgreement | None = None) -> None:
        self.route = route
        self.file = file
        self.epochs = epochs
        self._agreement = agreement
        self.plan = Plan.read(file)[0] if file.exists() else plan
        barrier()  # no process may write the file before all processes have checked whether it exists
        if not file.exists() and is_main_process():
            plan.write(file)

    def __call__(self, number: int) -> Stage:
        """Return stage ``number``, counted from 0; a greedy plan chooses a new stage by the current student."""
        if number >= len(self.plan.stages):
            self.plan = self._extended_plan()
            if is_main_process():
                self.plan.write(self.file)
        stages = self.plan.stages[: number + 1]
        is_last = self.plan.growth is None and number == len(self.plan.stages) - 1
        # The last stage ends exactly with the training: a sum of shares is subject to rounding.
        until = self.epochs if is_last else self.epochs * sum(stage.share for stage in stages)
        return Stage(until, stages[-1].points)

    def _extended_plan(self) -> Plan:
        plan = self.plan
        growth = plan.growth
        if growth is None:
            raise IndexError(f"the plan has {len(plan.stages)} stages")
        end = len(self.route.points) - 1
        remaining = 1 - sum(stage.share for stage in plan.stages)
        # Below one and a half shares another stage would leave too little for the end of the route.
        if remaining <= growth.share * 1.5 or (plan.stages and plan.stages[-1].points[0] >= end):
            point, reason = end, "the end of the route, for what is left of the epochs"
        elif plan.stages:
            point, reason = self._choose_next_point(plan.stages[-1].points[0], growth.delta)
        else:
            point, reason = self._choose_first_point(growth.delta)
        if point == end:
            return replace(plan, stages=[*plan.stages, PlanStage((end,), reason, remaining)], growth=None)
        return replace(plan, stages=[*plan.stages, PlanStage((point,), reason, growth.share)])

    def _choose_first_point(self, delta: float) -> tuple[int, str]:
        """Return the last point that an untrained student can learn, and the reason as text."""
        candidates = self._candidates(0)
        agreements = dict(zip(candidates, self._measure(candidates), strict=True))
        highest = max(agreements, key=agreements.__getitem__)
        # The highest one is in reach even if it is negative.
        bound = min(delta * agreements[highest], agreements[highest])
        point = max(point for point, agreement in agreements.items() if agreement >= bound)
        choice = f"the last point with a gradient agreement of at least {delta:g} times the highest one"
        return point, self._reason(choice, agreements, point, highest)

    def _choose_next_point(self, current: int, delta: float) -> tuple[int, str]:
        """Return the last point that a student trained on point ``current`` can learn, and the reason as text."""
        candidates = self._candidates(current + 1)
        measured = [current, *candidates]
        agreements = dict(zip(measured, self._measure(measured), strict=True))
        in_reach = [point for point in candidates if agreements[point] >= delta * agreements[current]]
        bound = f"a gradient agreement of at least {delta:g} times that of point {current}"
        if in_reach:
            point, choice = in_reach[-1], f"the last point with {bound}"
        else:
            point, choice = candidates[-1], f"the end of the route, no point has {bound}"
        return point, self._reason(choice, agreements, point, current)

    def _candidates(self, first: int) -> list[int]:
        """Return at most `MAX_CANDIDATES` points from ``first`` on at equal distance; the end is one of them."""
        later = range(first, len(self.route.points))
        count = min(MAX_CANDIDATES, len(later))
        # -(-a // b) rounds a / b up, so that the last is the end.
        return [later[-(-len(later) * number // count) - 1] for number in range(1, count + 1)]

    def _reason(self, choice: str, agreements: dict[int, float], point: int, *other_points: int) -> str:
        """Return a sentence with the agreements of the chosen point, of some other points and of the end."""
        shown = dict.fromkeys([point, *other_points, len(self.route.points) - 1])
        values = ", ".join(f"point {number}: {agreements[number]:.3f}" for number in shown)
        return f"{choice} ({values}); epoch {self.route.points[point].epoch:g}"

    def _measure(self, points: Sequence[int]) -> list[float]:
        if self._agreement is None:
            raise ValueError("a greedy plan needs the agreement of the student")
        return self._agreement(points)
