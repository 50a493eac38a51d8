"""Measurements of a route on images of its teacher's training set, for ``facekd plan``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from facekd.config import DistillRecipe, TrainRecipe
from facekd.config.loading import load_run_recipe
from facekd.data.image_set import ImageSet, Subset, split_validation
from facekd.data.training_set import TrainingSet, open_training_set
from facekd.errors import RouteError
from facekd.models.weights import load_model
from facekd.route.congruence import TEMPERATURE, Congruence, create_congruence
from facekd.route.diagnosis import Diagnosis, diagnose_student
from facekd.route.profile import PointProfile, profile_route
from facekd.route.rotation import procrustes_rotation
from facekd.route.route import Route
from facekd.run import Run
from facekd.training.machine import Machine

SAMPLE_IMAGES = 1000
"""Largest number of training images of a profile if the teacher's recipe has no held-out images."""
MAX_SAMPLE_FRACTION = 0.49
"""The largest part of a small class set that such a profile uses."""
ROTATION_IMAGES = 4096
"""Largest number of training images from which a rotation is found."""


def measure_route(route: Route, student: Path | str | None = None) -> tuple[list[PointProfile], Diagnosis | None]:
    """Return the profile of a route and the diagnosis of a student; without a recipe, the recorded facts only.

    Raises:
        DataError: the teacher's training set does not exist any more.
    """
    recipe = _teacher_recipe(route)
    if recipe is None or not route.points:
        return profile_route(route), None
    closed_set = recipe.head.closed_set
    data = open_training_set(recipe.dataset, recipe.data, closed_set)
    images = _sample_images(data.images, closed_set) if data.held_out is None else data.held_out
    machine = Machine(recipe.machine)
    congruence = _congruence(route, recipe, data, images, machine)
    if student is None:
        return profile_route(route, congruence, images.labels), None
    network = load_model(Run(Path(student)).model).to(machine.device)

    @torch.no_grad()
    def student_outputs(batch: torch.Tensor) -> torch.Tensor:
        """Return the outputs of the student for a batch of images."""
        return torch.as_tensor(network(network.preprocess(batch))).float()

    student_losses = congruence.student_losses(student_outputs, range(len(route.points)))
    profiles = profile_route(route, congruence, images.labels, student_losses)
    route_loss = profiles[0].congruence_to_end
    if len(profiles) < 2 or route_loss is None:
        return profiles, None
    return profiles, diagnose_student(student_losses, route_loss)


def measure_rotations(route: Route, points: Sequence[int]) -> dict[int, NDArray[np.float32]]:
    """Return the rotation of the embeddings of points into the basis of the end, found on training images.

    Args:
        route: the route of a teacher of embeddings.
        points: the numbers of the points; the end needs no rotation and gets none.

    Raises:
        RouteError: the route has no recipe, or its teacher is a classifier.
        DataError: the teacher's training set does not exist any more.
    """
    recipe = _teacher_recipe(route)
    if recipe is None:
        raise RouteError("the rotations of an aligned plan are found on images, and no recipe names those of the route "
                         f"{route.folder}: it was imported, or its run has no recipe.yaml; plan without --aligned")
    if recipe.head.closed_set:
        raise RouteError("only embeddings can be aligned: every output of a classifier belongs to a class; plan "
                         "without --aligned")
    data = open_training_set(recipe.dataset, recipe.data, closed_set=False)
    order = np.random.default_rng(0).permutation(len(data.images))
    images = Subset(data.images, np.sort(order[:ROTATION_IMAGES]))
    congruence = _congruence(route, recipe, data, images, Machine(recipe.machine))
    end = len(route.points) - 1
    target = congruence.outputs(end).numpy()
    return {point: procrustes_rotation(congruence.outputs(point).numpy(), target).astype(np.float32)
            for point in sorted({*points} - {end})}


def _teacher_recipe(route: Route) -> TrainRecipe | DistillRecipe | None:
    """Return the recipe of the run that recorded a route; None for an imported route."""
    teacher = Run(route.folder.parent)
    if route.spec is None or not (teacher.path / "recipe.yaml").is_file():
        return None
    return load_run_recipe(teacher.path, teacher.info()["command"])


def _congruence(route: Route, recipe: TrainRecipe | DistillRecipe, data: TrainingSet, images: ImageSet,
                machine: Machine) -> Congruence:
    assert route.spec is not None
    return create_congruence(images, data.eval_transform, route.spec.size, route,
                             temperature=TEMPERATURE if recipe.head.closed_set else None, machine=machine,
                             decoded_cache_gib=recipe.machine.decoded_cache_gib)


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
    if not len(with_pairs) or not images.is_labeled:
        return Subset(images, np.sort(order[:SAMPLE_IMAGES]))
    indices = by_label[np.concatenate([first[with_pairs], first[with_pairs] + 1])]
    return Subset(images, np.sort(indices))
