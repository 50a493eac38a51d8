"""The cosine of a student's embeddings to its teacher's on images that are held out of training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from facekd.config import DistillRecipe
from facekd.data.image_set import Subset
from facekd.data.training_set import TrainingSet
from facekd.io.training_log import HELD_OUT_COSINE
from facekd.losses.pairwise import row_cosines
from facekd.methods.distillation import Distillation
from facekd.route.congruence import held_out_teachers
from facekd.route.plan import Plan
from facekd.route.route import Route
from facekd.route.teacher import Teacher
from facekd.route.teachers import AnchorTeachers
from facekd.training.machine import Machine

MAX_BATCH_SIZE = 128
"""Images of a forward pass."""


class HeldOutCosine:
    """Measures the student in evaluation mode against the anchors of its current stage; changes nothing in it.

    All processes call it together, and each computes all images.

    Args:
        method: the distillation of the student.
        anchors: the teachers, over the held-out images in one version without augmentation.
    """

    def __init__(self, method: Distillation, anchors: AnchorTeachers) -> None:
        self._method = method
        self._anchors = anchors
        self._teachers: dict[Sequence[int], Teacher] = {}

    @property
    def images(self) -> int:
        """Number of images."""
        return len(self._anchors.loader.images)

    def __call__(self) -> dict[str, float]:
        """Return the mean cosine over the images, by its key in the training log."""
        points = self._method.anchors
        if points not in self._teachers:
            self._teachers[points] = self._anchors.teacher(points)
        machine = self._anchors.machine
        total = 0.0
        with machine.without_compilation(), machine.autocast():
            for batch in self._anchors.loader.iter_slot(0):
                batch = batch.to(machine.device)
                teacher = self._teachers[points].forward(batch).outputs.float()
                total += float(row_cosines(self._method.evaluated_outputs(batch.images), teacher).sum())
        return {HELD_OUT_COSINE: total / self.images}


def build_held_out_cosine(method: Distillation, data: TrainingSet, plan: Plan, route: Route, recipe: DistillRecipe,
                          machine: Machine) -> HeldOutCosine | None:
    """Build the measurement of a student; None for classes, for a joint teacher, and where no images are held out.

    Args:
        method: the distillation of the student.
        data: the training set with its held-out images, of which at most ``held_out_images`` are used.
        plan: the plan of the student.
        route: the route of the plan.
        recipe: the recipe of the run, complete.
        machine: the machine that computes.
    """
    is_anchored = type(method) is Distillation and not recipe.head.closed_set
    if data.held_out is None or not recipe.held_out_images or not is_anchored:
        return None
    count = min(recipe.held_out_images, len(data.held_out))
    # Spread over the set, which may be sorted by person.
    images = Subset(data.held_out, np.linspace(0, len(data.held_out) - 1, count).round().astype(np.int64))
    anchors = held_out_teachers(images, data.eval_transform, recipe.student.size, route, machine=machine,
                                batch_size=min(MAX_BATCH_SIZE, count), rotations=plan.rotations,
                                decoded_cache_gib=recipe.machine.decoded_cache_gib)
    return HeldOutCosine(method, anchors)
