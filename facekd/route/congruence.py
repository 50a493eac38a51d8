"""Congruence: how far a student's outputs lie from those of each point of a route, on images none was trained on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from facekd.config import MachineRecipe
from facekd.data.image_set import ImageSet
from facekd.data.loading.augmentation import Augmentation
from facekd.data.loading.loader import Loader
from facekd.losses.responses.embeddings import l2
from facekd.losses.responses.kd import kl
from facekd.route.route import Route
from facekd.route.teachers import Anchors
from facekd.training.machine import Machine

TEMPERATURE = 4.0
"""T for classes where nothing else is said: that of the ``kd`` loss by default."""


class Congruence:
    """The congruence loss H(S, j) of Route Constrained Optimization (Jin et al., ICCV 2019).

    For classes the mean KL(softmax(z_j / T) || softmax(z_S / T)) over the images, for embeddings the mean squared
    distance at unit length. The points' outputs are computed once and memory-mapped.

    Args:
        anchors: of the route, over the withheld images as they are.
        student: gives the student's outputs, [N, D], for uint8 [N, size, size, 3].
        temperature: T; None for embeddings.
    """

    def __init__(self, anchors: Anchors, student: Callable[[Tensor], Tensor], temperature: float | None) -> None:
        self.anchors, self._student, self.temperature = anchors, student, temperature

    def __call__(self, points: Sequence[int]) -> list[float]:
        """H of the student, as it is now, with each of the points."""
        device = self.anchors.machine.device
        batches = self.anchors.loader.slot(0)
        own = torch.cat([self._student(batch.to(device).images).cpu() for batch in batches])
        return [self.between(own, self.outputs(point)) for point in points]

    def outputs(self, point: int) -> Tensor:
        """A point's outputs: float32 [images, D]."""
        return torch.from_numpy(np.array(self.anchors.outputs(point), np.float32))

    def between(self, student: Tensor, teacher: Tensor) -> float:
        """The congruence loss of outputs with others, both [images, D]."""
        if self.temperature is None:
            return float(l2(student, teacher, normalize=True))
        return float(kl(student, teacher, self.temperature).mean())


def congruence_on(images: ImageSet, view: Augmentation, size: int, route: Route, student: Callable[[Tensor], Tensor],
                  temperature: float | None, machine: MachineRecipe) -> Congruence:
    """The congruence of a student with the points of a route, on images as they are.

    Args:
        images: withheld from training.
        view: how they are seen; of one version an image.
        size: side of the student's input in pixels.
        route: whose points.
        student: as `Congruence`.
        temperature: as `Congruence`.
        machine: where the points are computed.

    Raises:
        SetupError: the device is absent.
    """
    where = Machine(machine)
    loader = Loader(images, size, min(256, len(images)), 0, view, machine.memory, where.device)
    return Congruence(Anchors(route, loader, images.fingerprint(), "float32", where), student, temperature)
