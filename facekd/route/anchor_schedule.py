"""The anchor schedule of a distillation: the stages of its plan in order, and the greedy choice of the next anchor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from facekd.distributed import barrier, is_main_process, run_on_main_and_broadcast
from facekd.route.plan import Plan, PlanStage
from facekd.route.route import Route
from facekd.training.method import Stage

StudentCongruence = Callable[[Sequence[int]], list[float]]
"""Maps point numbers to the congruence loss of the current student with each of them, on held-out images."""

MIN_RATIO_DENOMINATOR = 1e-12
"""Keeps the reported ratio finite when the student equals a point."""


class AnchorSchedule:
    """The stages of one run; ``plan.json`` in the run folder always holds the stages chosen so far.

    The greedy search of Route Constrained Optimization (Jin et al., ICCV 2019) in our reading, because the paper does
    not give its delta: with H(S, j) the congruence loss of student S with point j, the anchor after i is the last point
    j > i with H(S, i) / H(S, j) >= delta, or else point i + 1. The end of the route is the anchor of the last stage.

    Args:
        plan: the plan to follow.
        route: the route of the plan.
        file: the path of this run's plan; an existing file is continued.
        epochs: the length of the whole training in epochs.
        congruence: measures the student at the end of a stage; only a greedy plan needs it. All processes call it
            together, and all use the values of the main process.
    """

    def __init__(self, plan: Plan, route: Route, file: Path, epochs: float,
                 congruence: StudentCongruence | None = None) -> None:
        self.route = route
        self.file = file
        self.epochs = epochs
        self._congruence = congruence
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
        current = plan.stages[-1].points[0]
        end = len(self.route.points) - 1
        remaining = 1 - sum(stage.share for stage in plan.stages)
        # Below one and a half shares another stage would leave too little for the end of the route.
        if remaining > growth.share * 1.5 and current < end:
            point, reason = self._choose_next_point(current, growth.delta)
        else:
            point, reason = end, "the end of the route, for what is left of the epochs"
        if point == end:
            return replace(plan, stages=[*plan.stages, PlanStage((end,), reason, remaining)], growth=None)
        return replace(plan, stages=[*plan.stages, PlanStage((point,), reason, growth.share)])

    def _choose_next_point(self, current: int, delta: float) -> tuple[int, str]:
        """Return the last point that a student trained on point ``current`` can follow, and the reason as text."""
        points = range(current, len(self.route.points))
        current_loss, *later_losses = self._measure(points)
        in_reach = [point for point, loss in zip(points[1:], later_losses, strict=True) if current_loss >= delta * loss]
        point = in_reach[-1] if in_reach else current + 1
        ratio = current_loss / max(later_losses[point - current - 1], MIN_RATIO_DENOMINATOR)
        choice = f"the last point within delta {delta:g}" if in_reach else f"no point within delta {delta:g}: the next"
        return point, f"{choice} (ratio {ratio:.3f}); epoch {self.route.points[point].epoch:g}"

    def _measure(self, points: Sequence[int]) -> list[float]:
        """Return the congruence losses of the main process: rounding must not lead two processes to two anchors."""
        if self._congruence is None:
            raise ValueError("a greedy plan needs the congruence of the student")
        losses = self._congruence(points)
        return run_on_main_and_broadcast(lambda: losses)
