"""Anchor strategies: rules that choose the points of a route for a plan."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from facekd.errors import RouteError, did_you_mean
from facekd.route.plan import Growth, Plan, PlanStage
from facekd.route.profile import PointProfile
from facekd.route.route import Route

SHARE_TOLERANCE = 1e-9
"""Two shares of the way along a route that differ by less are equal, whatever their rounding."""


def make_plan(route: Route, strategy: str, anchors: int = 4, points: Sequence[int] = (), delta: float = 0.5, *,
              profile: Sequence[PointProfile] = ()) -> Plan:
    """Choose the anchors of a plan.

    Args:
        route: the recorded route of the teacher.
        strategy: a key of ``STRATEGIES`` or of ``MEASURED_STRATEGIES``, ``greedy`` or ``manual``.
        anchors: the number of stages; for ``mean`` the number of anchors; for ``greedy``, ``progress`` and ``change``
            the largest number of stages.
        points: the points of a ``manual`` plan.
        delta: the delta of a ``greedy`` plan, see `facekd.route.anchor_schedule`.
        profile: the profile of every point, which the strategies of ``MEASURED_STRATEGIES`` need.

    Raises:
        RouteError: the route has fewer points than anchors or lacks a point, the strategy is unknown, or the profile
            lacks the measurement that the strategy needs.
    """
    if not route.points:
        raise RouteError(f"the route {route.folder} has no points yet; let the teacher train first")
    if anchors < 1:
        raise RouteError(f"a plan needs at least 1 anchor, not {anchors}")
    if strategy == "manual":
        return _manual(route, points)
    if strategy == "greedy":
        return _greedy(route, anchors, delta)
    if strategy in MEASURED_STRATEGIES:
        if not profile or profile[-1].congruence_to_end is None:
            raise RouteError(
                f"the strategy '{strategy}' measures the teacher on images, and no recipe names those of the route "
                f"{route.folder}: it was imported, or its run has no recipe.yaml; use --strategy equal, final, mean, "
                "manual or greedy"
            )
        return MEASURED_STRATEGIES[strategy](route, anchors, profile)
    if strategy not in STRATEGIES:
        names = [*STRATEGIES, *MEASURED_STRATEGIES, "greedy", "manual"]
        raise RouteError(f"unknown strategy '{strategy}': {did_you_mean(strategy, names)}")
    return STRATEGIES[strategy](route, anchors)


def _equal(route: Route, anchors: int) -> Plan:
    """Choose ``anchors`` points at equal distance up to the end (Equal Epoch Interval, Jin et al., ICCV 2019)."""
    reason = f"equal distance along the {len(route.points)} points"
    return _build_plan(route, "equal", [(point,) for point in _equal_points(route, anchors)], [reason] * anchors)


def _final(route: Route, anchors: int) -> Plan:
    """Repeat the end of the route: one stage is plain distillation, several are the restart control of RCO."""
    suffix = " again: the restarts of RCO without its anchors" if anchors > 1 else ""
    reasons = [f"the end of the route{suffix}"] * anchors
    return _build_plan(route, "final", [(len(route.points) - 1,)] * anchors, reasons)


def _mean(route: Route, anchors: int) -> Plan:
    """Follow the mean of ``anchors`` equally spaced points in one stage: a snapshot ensemble."""
    reason = f"the mean of {anchors} points at equal distance along the {len(route.points)}"
    return _build_plan(route, "mean", [tuple(_equal_points(route, anchors))], [reason])


def _plateau(route: Route, anchors: int) -> Plan:
    """Choose the last point of every plateau of the teacher's learning rate."""
    points = [number for number, point in enumerate(route.points) if point.reason in ("before drop", "last")]
    if len(points) < 2:
        raise RouteError(
            f"the learning rate of the route {route.folder} has no plateaus: its teacher was not trained with "
            "training.lr_schedule=step; use --strategy equal or greedy"
        )
    reason = "the last point of a plateau of the learning rate"
    return _build_plan(route, "plateau", [(point,) for point in points], [reason] * len(points))


STRATEGIES: dict[str, Callable[[Route, int], Plan]] = {
    "equal": _equal, "final": _final, "mean": _mean, "plateau": _plateau,
}


def _progress(route: Route, anchors: int, profile: Sequence[PointProfile]) -> Plan:
    """Choose the points at which the teacher's metric has first made 1/m, 2/m, ... of its gain along the route.

    So the anchors are inside the phases in which the teacher learns, however short they are (ours; after Panigrahi et
    al., Progressive Distillation Induces an Implicit Curriculum, ICLR 2025).
    """
    name = profile[-1].metric_name
    metric = [point.metric for point in profile if point.metric is not None]
    if len(metric) < len(profile):
        raise RouteError(
            f"the metric of the route {route.folder} cannot be measured: its images need pairs of one identity and of "
            "two; use --strategy change, or a teacher with a higher data.val_fraction"
        )
    gain = metric[-1] - metric[0]
    if gain <= 0:
        raise RouteError(
            f"the teacher makes no progress along the route {route.folder}: its {name} is {metric[0]:.4g} at the first "
            f"point and {metric[-1]:.4g} at the end; use --strategy change or equal, or train a teacher that records "
            "earlier points (route.every_epochs)"
        )
    shares = [(value - metric[0]) / gain for value in metric]
    points = _first_crossings(shares, anchors)
    reasons = [f"{name} {metric[point]:.4g}, {shares[point]:.0%} of its way from the first point to the end"
               for point in points]
    return _build_plan(route, "progress", [(point,) for point in points], reasons)


def _change(route: Route, anchors: int, profile: Sequence[PointProfile]) -> Plan:
    """Choose the points at which the outputs of the teacher have first made 1/m, 2/m, ... of their net change.

    It is `progress` without labels (ours), see `facekd.route.profile.net_change`.
    """
    shares = [point.net_change for point in profile if point.net_change is not None]
    if len(shares) < len(profile):
        raise RouteError(f"the outputs of the teacher do not change along the route {route.folder}; use --strategy "
                         "final")
    points = _first_crossings(shares, anchors)
    reasons = [f"{shares[point]:.0%} of the net change of the teacher's outputs" for point in points]
    return _build_plan(route, "change", [(point,) for point in points], reasons)


MEASURED_STRATEGIES: dict[str, Callable[[Route, int, Sequence[PointProfile]], Plan]] = {
    "progress": _progress, "change": _change,
}
"""Strategies that need the profile of the route."""


def _first_crossings(shares: Sequence[float], anchors: int) -> list[int]:
    """Return the first points whose share of the way is at least 1/m, ..., (m-1)/m, and the end, each point once."""
    crossings = {
        next(point for point, share in enumerate(shares) if share >= number / anchors - SHARE_TOLERANCE)
        for number in range(1, anchors)
    }
    return sorted(crossings | {len(shares) - 1})


def _manual(route: Route, points: Sequence[int]) -> Plan:
    """Follow the given points, one in each stage."""
    absent = [point for point in points if not 0 <= point < len(route.points)]
    if absent or not points:
        raise RouteError(f"manual plans name points between 0 and {len(route.points) - 1}, not {absent or 'none'}")
    return _build_plan(route, "manual", [(point,) for point in points], ["chosen by hand"] * len(points))


def _greedy(route: Route, anchors: int, delta: float) -> Plan:
    """Choose no stage: the student chooses all of them in its training, see `facekd.route.anchor_schedule`."""
    if not 0 < delta <= 1:
        raise RouteError(f"delta must be in (0, 1], not {delta:g}; 0.8 makes shorter steps along the route than 0.5")
    if anchors < 2:
        raise RouteError("a greedy plan needs at least 2 stages; for one, use --strategy final")
    return Plan(route.folder, "greedy", [], Growth(delta, 1 / anchors))


def _equal_points(route: Route, anchors: int) -> list[int]:
    """Return ``anchors`` point numbers at equal distance: -(-a // b) rounds a / b up, so that the last is the end."""
    count = len(route.points)
    if anchors > count:
        raise RouteError(
            f"{anchors} anchors need as many points, the route {route.folder} has {count}; record more, or plan fewer"
        )
    return [-(-count * (number + 1) // anchors) - 1 for number in range(anchors)]


def _build_plan(route: Route, strategy: str, anchors: Sequence[tuple[int, ...]], reasons: Sequence[str]) -> Plan:
    """Build a plan whose stages take equal shares of the epochs; there is one reason per stage."""
    stages = []
    for points, reason in zip(anchors, reasons, strict=True):
        epochs = ", ".join(f"{route.points[point].epoch:g}" for point in points)
        stages.append(PlanStage(points, f"{reason}; epoch {epochs}", 1 / len(anchors)))
    return Plan(route.folder, strategy, stages)
