"""Congruence: the distance between the outputs of a student and of the points of a route, on held-out images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from facekd.data.image_set import ImageSet
from facekd.data.loading.augmentation import Augmentation
from facekd.data.loading.loader import Loader
from facekd.losses.comparable import check_comparable
from facekd.losses.responses.embeddings import REMEDY
from facekd.losses.responses.kd import kl_divergence
from facekd.route.route import Route
from facekd.route.teachers import AnchorTeachers
from facekd.training.machine import Machine
from facekd.utils.functional import l2_normalize

TEMPERATURE = 4.0
"""The default T for classes: the default temperature of the ``kd`` loss."""
MAX_BATCH_SIZE = 256
"""Images of a forward pass; a smaller set is one batch."""


def distances(student: Tensor, teacher: Tensor, temperature: float | None) -> Tensor:
    """Return the distance between two outputs for every image: [images], on which `Congruence` is based.

    Args:
        student: [images, D].
        teacher: [images, D].
        temperature: T of the KL divergence from teacher to student, for classes; None for the squared distance at unit
            length, for embeddings.

    Raises:
        ModelError: the shapes differ.
    """
    if temperature is not None:
        return kl_divergence(student, teacher, temperature)
    student, teacher = check_comparable(student, teacher, "embeddings", REMEDY)
    return (l2_normalize(teacher) - l2_normalize(student)).square().sum(dim=1)


class Congruence:
    """The congruence loss H(S, j) of Route Constrained Optimization (Jin et al., ICCV 2019).

    For classes it is the mean KL(softmax(z_j / T) || softmax(z_S / T)) over the images, for embeddings the mean squared
    distance at unit length. The outputs of the points are computed once and memory-mapped.

    Args:
        anchors: the teachers of the route, over the held-out images without augmentation.
        temperature: T; None for embeddings.
    """

    def __init__(self, anchors: AnchorTeachers, temperature: float | None) -> None:
        self.anchors = anchors
        self.temperature = temperature

    def student_losses(self, student: Callable[[Tensor], Tensor], points: Sequence[int]) -> Tensor:
        """Return the distance of a student from each point for every image: [points, images].

        H is its mean over the images.

        Args:
            student: maps uint8 [N, size, size, 3] to the student's outputs, [N, D].
            points: the numbers of the points.
        """
        device = self.anchors.machine.device
        batches = self.anchors.loader.iter_slot(0)
        student_outputs = torch.cat([student(batch.to(device).images).cpu() for batch in batches])
        losses = [distances(student_outputs, self.outputs(point), self.temperature) for point in points]
        return torch.stack(losses)

    def outputs(self, point: int) -> Tensor:
        """Return the outputs of a point: float32 [images, D]."""
        return torch.from_numpy(np.array(self.anchors.outputs(point), np.float32))

    def distance(self, student: Tensor, teacher: Tensor) -> float:
        """Return the congruence loss between two sets of outputs, both [images, D]."""
        return float(distances(student, teacher, self.temperature).mean())


def create_congruence(images: ImageSet, transform: Augmentation, size: int, route: Route, *,
                      temperature: float | None, machine: Machine, decoded_cache_gib: float) -> Congruence:
    """Create the congruence with the points of a route.

    Args:
        images: the held-out images.
        transform: the evaluation view of the images; it shows each image in one version.
        size: the side of the student's input in pixels.
        route: the route whose points are compared.
        temperature: T for classes; None for embeddings.
        machine: the machine that computes the outputs of the points.
        decoded_cache_gib: the memory for decoded images in GiB.
    """
    anchors = held_out_teachers(images, transform, size, route, batch_size=min(MAX_BATCH_SIZE, len(images)),
                                machine=machine, decoded_cache_gib=decoded_cache_gib)
    return Congruence(anchors, temperature)


def held_out_teachers(images: ImageSet, transform: Augmentation, size: int, route: Route, *, batch_size: int,
                      machine: Machine, decoded_cache_gib: float,
                      rotations: Mapping[int, NDArray[np.float32]] | None = None) -> AnchorTeachers:
    """Return the teachers of a route over held-out images, with outputs in float32, see `create_congruence`."""
    loader = Loader(images, size, batch_size=batch_size, seed=0, augmentation=transform,
                    decoded_cache_gib=decoded_cache_gib, device=machine.device)
    return AnchorTeachers(route, loader, images.fingerprint(), "float32", machine, rotations=rotations)
