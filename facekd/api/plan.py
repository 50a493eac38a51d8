"""``facekd plan``: anchors on a route, and a profile of the route."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from facekd.config.loading import load_run_recipe
from facekd.data.image_set import ImageSet, Subset, split_validation
from facekd.data.training_set import open_training_set
from facekd.errors import RouteError
from facekd.models.weights import load_model
from facekd.reporting.plots.route import route_picture
from facekd.route.congruence import TEMPERATURE, create_congruence
from facekd.route.diagnosis import Diagnosis, diagnose_student
from facekd.route.plan import Plan
from facekd.route.profile import PointProfile, profile_route
from facekd.route.route import Route
from facekd.route.strategies import MEASURED_STRATEGIES, make_plan
from facekd.run import Run
from facekd.training.machine import Machine
from facekd.utils import files

SAMPLE_IMAGES = 1000
"""Largest number of training images of a profile if the teacher's recipe has no held-out images."""
MAX_SAMPLE_FRACTION = 0.49
"""The largest part of a small class set that such a profile uses."""


def plan(route: Path | str, out: Path | str, *, strategy: str = "progress", anchors: int = 4,
         points: Sequence[int] = (), delta: float = 0.8) -> Plan:
    """Choose anchors on a route and write them as ``plan.json``.

    Args:
        route: a run of train, or a route folder.
        out: the file to write.
        strategy: ``progress``, ``change``, ``equal``, ``greedy``, ``plateau``, ``final``, ``mean`` or ``manual``, see
            `facekd.route.strategies`. For ``progress`` and ``change`` the route is measured on images, see `show_plan`.
        anchors: number of stages.
        points: the point numbers of a ``manual`` plan, see also `stage_points`.
        delta: the delta of a ``greedy`` plan, see `facekd.route.anchor_schedule`.

    Raises:
        RouteError: the route or a point does not exist, or the strategy cannot be used with the route.
        DataError: the teacher's training set does not exist any more, and the strategy needs it.
    """
    opened = Route.open(route)
    profile = _measure_route(opened)[0] if strategy in MEASURED_STRATEGIES else ()
    chosen = make_plan(opened, strategy, anchors, points, delta, profile=profile)
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


def show_plan(plan_file: Path | str, student: Path | str | None = None
              ) -> tuple[list[PointProfile], Path, Diagnosis | None]:
    """Draw the route of a plan: learning rate, the teacher's metric and congruence, with the anchors marked.

    Congruence and metric are measured on the held-out images of the teacher's recipe, or on up to 1,000 of its training
    images if it has none. They are left out for an imported route, whose data are unknown.

    Args:
        plan_file: ``plan.json``; for a run with a greedy plan, the one in its folder.
        student: a run whose student is compared with every point.

    Returns:
        the profile of each point; the file of the picture, in the folder of the plan; and whether the premise of Route
        Constrained Optimization holds for the student, None without a student or for an imported route.

    Raises:
        RouteError: the plan or a point does not exist.
        DataError: the teacher's training set does not exist any more.
    """
    path = Path(plan_file)
    chosen, route = Plan.read(path)
    profiles, diagnosis = _measure_route(route, student)
    anchors = [point for stage in chosen.stages for point in stage.points]
    picture = path.with_suffix(".svg")
    title = f"{route.folder.parent.name}, anchors: {chosen.strategy}"
    files.write_text(picture, route_picture(profiles, anchors, title))
    return profiles, picture, diagnosis


def _measure_route(route: Route, student: Path | str | None = None) -> tuple[list[PointProfile], Diagnosis | None]:
    """Return the profile of a route and the diagnosis of a student; without a recipe, the recorded facts only."""
    teacher = Run(route.folder.parent)
    if route.spec is None or not (teacher.path / "recipe.yaml").is_file() or not route.points:
        return profile_route(route), None
    recipe = load_run_recipe(teacher.path, teacher.info()["command"])
    closed_set = recipe.head.closed_set
    data = open_training_set(recipe.dataset, recipe.data, closed_set)
    images = _sample_images(data.images, closed_set) if data.held_out is None else data.held_out
    machine = Machine(recipe.machine)
    network = load_model(Run(Path(student)).model).to(machine.device) if student else None

    @torch.no_grad()
    def student_outputs(batch: torch.Tensor) -> torch.Tensor:
        """Return the outputs of the student for a batch of images."""
        assert network is not None
        return torch.as_tensor(network(network.preprocess(batch))).float()

    congruence = create_congruence(images, data.eval_transform, route.spec.size, route, student_outputs,
                                   temperature=TEMPERATURE if closed_set else None, machine=machine,
                                   decoded_cache_gib=recipe.machine.decoded_cache_gib)
    if network is None:
        return profile_route(route, congruence, images.labels), None
    student_losses = congruence.student_losses(range(len(route.points)))
    profiles = profile_route(route, congruence, images.labels, student_losses)
    route_loss = profiles[0].congruence_to_end
    if len(profiles) < 2 or route_loss is None:
        return profiles, None
    return profiles, diagnose_student(student_losses, route_loss)


def _sample_images(images: ImageSet, closed_set: bool) -> ImageSet:
    """Return up to `SAMPLE_IMAGES` images of a training set, drawn at random; the same ones every time.

    In a face set they are two images of each of the drawn identities: the metric of faces compares pairs of images, and
    two images drawn at random from a large set hardly ever show the same person.
    """
    if closed_set:
        return split_validation(images, min(MAX_SAMPLE_FRACTION, SAMPLE_IMAGES / len(images)))[1]
    order = np.random.default_rng(0).permutation(len(images))
    # The order by label and, within a label, at random
    by_label = order[np.argsort(images.labels[order], kind="stable")]
    _, first, counts = np.unique(images.labels[by_label], return_index=True, return_counts=True)
    with_pairs = np.random.default_rng(0).permutation(np.flatnonzero(counts > 1))[: SAMPLE_IMAGES // 2]
    if not len(with_pairs):
        return Subset(images, np.sort(order[:SAMPLE_IMAGES]))
    indices = by_label[np.concatenate([first[with_pairs], first[with_pairs] + 1])]
    return Subset(images, np.sort(indices))
