"""``facekd plan``: anchors on a route, and a profile of the route."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from facekd.config.loading import load_run_recipe
from facekd.data.image_set import split_validation
from facekd.data.training_set import open_training_set
from facekd.errors import RouteError
from facekd.models.weights import load_model
from facekd.reporting.plots.route import route_picture
from facekd.route.congruence import TEMPERATURE, create_congruence
from facekd.route.plan import Plan
from facekd.route.profile import PointProfile, profile_route
from facekd.route.route import Route
from facekd.route.strategies import make_plan
from facekd.run import Run
from facekd.training.machine import Machine
from facekd.utils import files

SAMPLE_IMAGES = 1000
"""Number of training images of a profile if the teacher's recipe has no held-out images."""
MAX_SAMPLE_FRACTION = 0.49
"""The largest part of a small training set that such a profile uses."""


def plan(route: Path | str, out: Path | str, *, strategy: str = "equal", anchors: int = 4,
         points: Sequence[int] = (), delta: float = 0.8) -> Plan:
    """Choose anchors on a route and write them as ``plan.json``.

    Args:
        route: a run of train, or a route folder.
        out: the file to write.
        strategy: ``equal``, ``greedy``, ``plateau``, ``final``, ``mean`` or ``manual``, see `facekd.route.strategies`.
        anchors: number of stages.
        points: the point numbers of a ``manual`` plan, see also `stage_points`.
        delta: the delta of a ``greedy`` plan, see `facekd.route.anchor_schedule`.

    Raises:
        RouteError: the route or a point does not exist.
    """
    chosen = make_plan(Route.open(route), strategy, anchors, points, delta)
    chosen.write(Path(out))
    return chosen


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
            raise RouteError(f"{plan_file} has no stage {number}; it has the stages 0 to {len(plan_stages) - 1}")
        if len(plan_stages[number].points) > 1:
            raise RouteError(f"stage {number} of {plan_file} follows the mean of several points; a manual plan follows "
                             "one point per stage")
        points.append(plan_stages[number].points[0])
    return points


def show_plan(plan_file: Path | str, student: Path | str | None = None) -> tuple[list[PointProfile], Path]:
    """Draw the route of a plan: learning rate, the teacher's metric and congruence, with the anchors marked.

    Congruence and accuracy are measured on the held-out images of the teacher's recipe, or on 1,000 of its training
    images if it has none. They are left out for an imported route, whose data are unknown.

    Args:
        plan_file: ``plan.json``; for a run with a greedy plan, the one in its folder.
        student: a run whose student is compared with every point.

    Returns:
        the profile of each point, and the file of the picture, in the folder of the plan.

    Raises:
        RouteError: the plan or a point does not exist.
        DataError: the teacher's training set does not exist any more.
    """
    path = Path(plan_file)
    chosen, route = Plan.read(path)
    run = Run(route.folder.parent)
    if route.spec is not None and (run.path / "recipe.yaml").is_file():
        profiles = _measure_points(route, route.spec.size, run, student)
    else:
        profiles = profile_route(route)
    anchors = [point for stage in chosen.stages for point in stage.points]
    picture = path.with_suffix(".svg")
    files.write_text(picture, route_picture(profiles, anchors, f"{run.path.name}, anchors: {chosen.strategy}"))
    return profiles, picture


def _measure_points(route: Route, size: int, teacher: Run, student: Path | str | None) -> list[PointProfile]:
    recipe = load_run_recipe(teacher.path, teacher.info()["command"])
    closed_set = recipe.head.closed_set
    data = open_training_set(recipe.dataset, recipe.data, closed_set)
    images = data.held_out
    if images is None:
        images = split_validation(data.images, min(MAX_SAMPLE_FRACTION, SAMPLE_IMAGES / len(data.images)))[1]
    machine = Machine(recipe.machine)
    network = load_model(Run(Path(student)).model).to(machine.device) if student else None

    @torch.no_grad()
    def student_outputs(batch: torch.Tensor) -> torch.Tensor:
        """Return the outputs of the student for a batch of images."""
        assert network is not None
        return torch.as_tensor(network(network.preprocess(batch))).float()

    congruence = create_congruence(images, data.eval_transform, size, route, student_outputs,
                                   temperature=TEMPERATURE if closed_set else None, machine=machine,
                                   decoded_cache_gib=recipe.machine.decoded_cache_gib)
    return profile_route(route, congruence, images.labels if closed_set else None, network is not None)
