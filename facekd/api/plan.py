"""``facekd plan``: anchors on a route, and a profile of the route."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from facekd.api.route_measurement import measure_rotations, measure_route
from facekd.errors import RouteError
from facekd.io import files
from facekd.io.locks import lock_output
from facekd.io.outputs import check_writable
from facekd.reporting.plots.route import route_picture
from facekd.route.diagnosis import Diagnosis
from facekd.route.plan import Plan
from facekd.route.profile import PointProfile
from facekd.route.route import Route
from facekd.route.strategies import MEASURED_STRATEGIES, make_plan
from facekd.run import Run
from facekd.text import path_text, shorten

DEFAULT_ANCHORS = 4
DEFAULT_DELTA = 0.5


def plan(route: Path | str, out: Path | str, *, strategy: str = "progress", anchors: int | None = None,
         points: Sequence[int] = (), delta: float | None = None, aligned: bool = False) -> Plan:
    """Choose anchors on a route and write them as ``plan.json``.

    Args:
        route: a run of train, or a route folder.
        out: the file to write.
        strategy: ``progress``, ``change``, ``equal``, ``greedy``, ``plateau``, ``final``, ``mean`` or ``manual``, see
            `facekd.route.strategies`. For ``progress`` and ``change`` the route is measured on images, see `show_plan`.
        anchors: number of stages, by default 4; not for ``manual`` and ``plateau``.
        points: the point numbers of a ``manual`` plan, from early to late, see also `stage_points`.
        delta: the delta of a ``greedy`` plan, by default 0.5, see `facekd.route.anchor_schedule`.
        aligned: rotate the embeddings of every anchor into the basis of the end of the route, see
            `facekd.route.rotation`; the rotations are stored beside the plan.

    Raises:
        RouteError: the route or a point does not exist, a point of the plan is damaged, the strategy cannot be used
            with the route, an option has no effect on it, or the plan cannot be aligned, because it is greedy or its
            teacher is a classifier or imported.
        DataError: the teacher's training set does not exist any more, and the strategy needs it.
        SetupError: the file cannot be written, or another process writes it.
    """
    _check_options(strategy, anchors, points, delta)
    check_writable(out)
    with lock_output(out):
        opened = Route.open(route)
        profile = measure_route(opened)[0] if strategy in MEASURED_STRATEGIES else ()
        chosen = make_plan(opened, strategy, DEFAULT_ANCHORS if anchors is None else anchors, points,
                           DEFAULT_DELTA if delta is None else delta, profile=profile)
        # A greedy plan chooses among all points while the student trains.
        followed = range(len(opened.points)) if chosen.growth else {p for stage in chosen.stages for p in stage.points}
        for point in sorted(followed):
            opened.point_file(point)
        if aligned:
            chosen = _align(chosen, opened)
        chosen.write(Path(out))
    return chosen


def _align(plan: Plan, route: Route) -> Plan:
    """Return a plan with the rotations of its anchors."""
    if plan.growth is not None:
        raise RouteError("a greedy plan cannot be aligned, because its anchors are not known yet; plan without "
                         "--aligned")
    points = [point for stage in plan.stages for point in stage.points]
    return replace(plan, rotations=measure_rotations(route, points))


def _check_options(strategy: str, anchors: int | None, points: Sequence[int], delta: float | None) -> None:
    """Refuse options that the strategy does not use."""
    if points and strategy != "manual":
        raise RouteError(f"--points name the anchors of --strategy manual, and the strategy is {shorten(strategy)}; "
                         "leave them out, or use manual")
    if delta is not None and strategy != "greedy":
        raise RouteError(f"--delta is an option of --strategy greedy, and the strategy is {shorten(strategy)}; leave "
                         "it out, or use greedy")
    if anchors is not None and strategy in ("manual", "plateau"):
        raise RouteError(f"--anchors has no effect on --strategy {strategy}, which has as many stages as there are "
                         f"{'points' if strategy == 'manual' else 'plateaus'}; leave it out")
    if list(points) != sorted(points):
        raise RouteError(f"a student follows the points of a route from early to late, not "
                         f"{shorten(', '.join(map(str, points)))}; give them in rising order")


def stage_points(plan_file: Path | str, stages: Sequence[int]) -> list[int]:
    """Return the points of stages of an existing plan, for a ``manual`` plan that follows a part of it.

    Args:
        plan_file: ``plan.json``.
        stages: stage numbers, counted from 0 as ``facekd plan`` prints them.

    Raises:
        RouteError: the plan cannot be read, it has no such stage, or a stage has several points.
    """
    plan_stages = Plan.read(plan_file)[0].stages
    points = []
    for number in stages:
        if not 0 <= number < len(plan_stages):
            raise RouteError(f"{path_text(plan_file)} has no stage {number}; it has the stages 0 to "
                             f"{len(plan_stages) - 1}")
        if len(plan_stages[number].points) > 1:
            raise RouteError(f"stage {number} of {path_text(plan_file)} follows the mean of several points; a manual "
                             "plan follows one point per stage")
        points.append(plan_stages[number].points[0])
    return points


def show_plan(plan_file: Path | str, student: Path | str | None = None
              ) -> tuple[list[PointProfile], Path, Diagnosis | None]:
    """Draw the route of a plan: learning rate, the teacher's metric and congruence, with the anchors marked.

    Congruence and metric are measured on the held-out images of the teacher's recipe, or on up to 1,000 of its training
    images if it has none. They are left out for an imported route, whose data are unknown.

    Args:
        plan_file: ``plan.json``; for a run with a greedy plan, the one in its folder.
        student: a run whose student is compared with every point; the diagnosis is kept in its folder for its report.

    Returns:
        the profile of each point; the file of the picture, in the folder of the plan; and whether the premise of Route
        Constrained Optimization holds for the student, None without a student or for an imported route.

    Raises:
        RouteError: the plan or a point does not exist.
        DataError: the teacher's training set does not exist any more.
    """
    path = Path(plan_file)
    chosen, route = Plan.read(path)
    profiles, diagnosis = measure_route(route, student)
    anchors = [point for stage in chosen.stages for point in stage.points]
    picture = path.with_suffix(".svg")
    title = f"{route.folder.parent.name}, anchors: {chosen.strategy}"
    with lock_output(picture):
        files.write_text(picture, route_picture(profiles, anchors, title))
    if student is not None and diagnosis is not None:
        content = {**asdict(diagnosis), "route": str(route.folder), "sentence": diagnosis.describe()}
        files.write_json(Run(Path(student)).diagnosis, content)
    return profiles, picture, diagnosis
