"""Congruence: the distance between the outputs of a student and of the points of a route, on held-out images."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from facekd.data.image_set import ImageSet
from facekd.data.loading.augmentation import Augmentation
from facekd.data.loading.loader import Loader
from facekd.losses.responses.embeddings import l2_loss
from facekd.losses.responses.kd import kl_divergence
from facekd.route.route import Route
from facekd.route.teachers import AnchorTeachers
from facekd.training.machine import Machine

TEMPERATURE = 4.0
"""The default T for classes: the default temperature of the ``kd`` loss."""
MAX_BATCH_SIZE = 256
"""Images of a forward pass; a smaller set is one batch."""


class Congruence:
    """The congruence loss H(S, j) of Route Constrained Optimization (Jin et al., ICCV 2019).

    For classes it is the mean KL(softmax(z_j / T) || softmax(z_S / T)) over the images, for embeddings the mean squared
    distance at unit length. The outputs of the points are computed once and memory-mapped.

    Args:
        anchors: the teachers of the route, over the held-out images without augmentation.
        student: maps uint8 [N, size, size, 3] to the student's outputs, [N, D].
        temperature: T; None for embeddings.
    """

    def __init__(self, anchors: AnchorTeachers, student: Callable[[Tensor], Tensor], temperature: float | None) -> None:
        self.anchors = anchors
        self._student = student
        self.temperature = temperature

    def __call__(self, points: Sequence[int]) -> list[float]:
        """Return H of the current student with each of the points."""
        device = self.anchors.machine.device
        batches = self.anchors.loader.iter_slot(0)
        student_outputs = torch.cat([self._student(batch.to(device).images).cpu() for batch in batches])
        return [self.distance(student_outputs, self.outputs(point)) for point in points]

    def outputs(self, point: int) -> Tensor:
        """Return the outputs of a point: float32 [images, D]."""
        return torch.from_numpy(np.array(self.anchors.outputs(point), np.float32))

    def distance(self, student: Tensor, teacher: Tensor) -> float:
        """Return the congruence loss between two sets of outputs, both [images, D]."""
        if self.temperature is None:
            return float(l2_loss(student, teacher, normalize=True))
        return float(kl_divergence(student, teacher, self.temperature).mean())


def create_congruence(images: ImageSet, augmentation: Augmentation, size: int, route: Route,
                      student: Callable[[Tensor], Tensor], *, temperature: float | None, machine: Machine,
                      decoded_cache_gib: float) -> Congruence:
    """Create the congruence of a student with the points of a route.

    Args:
        images: the held-out images.
        augmentation: the evaluation view of the images; it shows each image in one version.
        size: the side of the student's input in pixels.
        route: the route whose points are compared.
        student: maps images to outputs, see `Congruence`.
        temperature: T for classes; None for embeddings.
        machine: the machine that computes the outputs of the points.
        decoded_cache_gib: the memory for decoded images in GiB.
    """
    loader = Loader(
        images,
        size,
        batch_size=min(MAX_BATCH_SIZE, len(images)),
        seed=0,
        augmentation=augmentation,
        decoded_cache_gib=decoded_cache_gib,
        device=machine.device,
    )
    return Congruence(AnchorTeachers(route, loader, images.fingerprint(), "float32", machine), student, temperature)
