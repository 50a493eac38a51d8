"""Gradient agreement: whether the targets of a route's points carry a signal that the current student can learn.

This measure is ours. The greedy search of Route Constrained Optimization (Jin et al., ICCV 2019), after which
`facekd.route.anchor_schedule` chooses anchors, compares the distances H(S, i) and H(S, j) of the student from two
points. A distance does not show whether the student can reduce it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from facekd.data.image_set import ImageSet
from facekd.data.loading.augmentation import Augmentation
from facekd.distributed import run_on_main_and_broadcast
from facekd.errors import RouteError
from facekd.models.feature_extractor import without_side_effects
from facekd.route.cache import CachedOutputs
from facekd.route.congruence import distances, held_out_teachers
from facekd.route.route import Route
from facekd.route.teachers import AnchorTeachers
from facekd.training.machine import Machine

MAX_BATCH_SIZE = 256
"""Images of two forward passes, one for each half."""
MIN_BATCH_SIZE = 4
"""Two images for each half, because batch norms need two."""
BATCH_MULTIPLE = 16
"""Larger batches are a multiple of this number. On CPUs the backward pass of a narrow convolution can crash (oneDNN in
torch 2.13, 8 channels) if the number of threads does not divide the number of images."""
MAX_GRADIENT_BYTES = 512 * 2**20
"""Memory for the sums of gradients. For large students the points are measured in groups that fit into it, of at least
one point, and each group repeats the forward passes."""
SEED = 0
"""The seed of the division into halves."""


class GradientAgreement:
    """The gradient agreement A(S, j) of a student S with each point j, in [-1, 1].

    The held-out images are divided into two halves at random. Each half has a gradient with respect to the student's
    weights: that of the mean distance between the student's outputs and those of point j, without the part that is
    common to all images. For this the mean over the images of a half batch is taken out of the gradient with respect
    to the outputs. The common part is a shift of all outputs, which the bias of the last layer can learn; it agrees
    between the halves whatever the point. A is the cosine between the two gradients. It is near 1 where the targets
    carry a signal that the student can learn, and low where the noise of single images dominates. It does not depend
    on the scale of the distance.

    The distance is that of `facekd.route.congruence.distances`. The student's batch norms use the statistics of the
    batch, as in training, and dropout is off. Nothing in the student changes: neither weights and their ``grad``, nor
    running statistics, nor the modes of its modules.

    Args:
        anchors: the teachers of the route, over the held-out images without augmentation, in batches of at least
            `MIN_BATCH_SIZE` images; an incomplete last batch is left out.
        student: the student; its weights that require a gradient are differentiated.
        outputs: maps uint8 [N, size, size, 3] to the outputs of the student, [N, D], with gradient.
        temperature: T for classes; None for embeddings.
    """

    def __init__(self, anchors: AnchorTeachers, student: nn.Module, outputs: Callable[[Tensor], Tensor],
                 temperature: float | None) -> None:
        self.anchors = anchors
        self.temperature = temperature
        self._student = student
        self._outputs = outputs

    def __call__(self, points: Sequence[int]) -> list[float]:
        """Return A of the current student with each of the points.

        All processes call this together, and all get the values of the main process: rounding must not lead two
        processes to two decisions.
        """
        # All processes compute, because synchronized batch norms communicate.
        targets = [self.anchors.outputs(point) for point in points]
        weight_bytes = 4 * sum(weight.numel() for weight in self._weights())
        group_size = max(1, MAX_GRADIENT_BYTES // (2 * weight_bytes))
        agreements: list[float] = []
        for first in range(0, len(points), group_size):
            agreements += self._agreements(targets[first : first + group_size])
        return run_on_main_and_broadcast(lambda: agreements)

    def _weights(self) -> list[nn.Parameter]:
        return [weight for weight in self._student.parameters() if weight.requires_grad]

    def _agreements(self, targets: Sequence[CachedOutputs]) -> list[float]:
        """Return the cosine between the gradients of the two halves for each array of targets, [images, D]."""
        weights = self._weights()
        device = self.anchors.machine.device
        # float32, also under autocast; sums instead of means, which have the same cosine
        sums = torch.zeros(2, len(targets), sum(weight.numel() for weight in weights), device=device)
        # A compiled backward pass cannot be repeated.
        eagerly = self.anchors.machine.without_compilation()
        with without_side_effects(self._student), eagerly, torch.enable_grad():
            for half, images, index in self._half_batches():
                outputs = self._outputs(images)
                for number, target in enumerate(targets):
                    errors = self._centered_errors(outputs, torch.from_numpy(target[index]).to(device))
                    gradients = torch.autograd.grad(outputs, weights, errors, retain_graph=True, materialize_grads=True)
                    sums[half, number] += torch.cat([gradient.flatten() for gradient in gradients])
        norms = sums.norm(dim=2).clamp_min(torch.finfo(sums.dtype).tiny)  # the gradient of a perfect student is 0
        cosines = torch.linalg.vecdot(sums[0], sums[1]) / norms[0] / norms[1]
        return [float(cosine) for cosine in cosines]

    def _centered_errors(self, outputs: Tensor, teacher_outputs: Tensor) -> Tensor:
        """Return the gradient of the distance with respect to the outputs minus its mean over the images: [N, D]."""
        leaf = outputs.detach().requires_grad_()
        (errors,) = torch.autograd.grad(distances(leaf, teacher_outputs, self.temperature).sum(), leaf)
        return errors - errors.mean(dim=0)

    def _half_batches(self) -> Iterator[tuple[int, Tensor, NDArray[np.int64]]]:
        """Yield the number of a half, some of its images and their indices, [N].

        Every batch is divided, so that each half gets images of all classes also where the set is sorted by class.
        """
        generator = torch.Generator().manual_seed(SEED)
        for batch in self.anchors.loader.iter_slot(0):
            if len(batch.index) < self.anchors.loader.batch_size:
                return
            images = batch.images.to(self.anchors.machine.device)
            for half, rows in enumerate(torch.randperm(len(batch.index), generator=generator).chunk(2)):
                yield half, images[rows.to(images.device)], batch.index[rows].numpy()


def create_agreement(images: ImageSet, transform: Augmentation, size: int, route: Route, student: nn.Module,
                     outputs: Callable[[Tensor], Tensor], *, temperature: float | None, machine: Machine,
                     batch_size: int, decoded_cache_gib: float) -> GradientAgreement:
    """Create the gradient agreement of a student with the points of a route.

    A forward pass has at most half as many images as one of the training, so that its float32 activations fit into
    memory.

    Args:
        images: the held-out images.
        transform: the evaluation view of the images; it shows each image in one version.
        size: the side of the student's input in pixels.
        route: the route whose points are compared.
        student: the student, see `GradientAgreement`.
        outputs: maps images to the outputs of the student with gradient.
        temperature: T for classes; None for embeddings.
        machine: the machine that computes.
        batch_size: the number of images of a forward pass in training, in one process.
        decoded_cache_gib: the memory for decoded images in GiB.

    Raises:
        RouteError: there are fewer than `MIN_BATCH_SIZE` images.
    """
    if len(images) < MIN_BATCH_SIZE:
        raise RouteError(f"a greedy plan needs at least {MIN_BATCH_SIZE} images held out of training, not "
                         f"{len(images)}: set data.val_fraction higher")
    anchors = held_out_teachers(images, transform, size, route, machine=machine, decoded_cache_gib=decoded_cache_gib,
                                batch_size=_divide_into_batches(len(images), min(MAX_BATCH_SIZE, batch_size)))
    return GradientAgreement(anchors, student, outputs, temperature)


def _divide_into_batches(images: int, max_batch_size: int) -> int:
    """Return the batch size, more than half of the largest one, with which the fewest images are left over."""
    limit = max(MIN_BATCH_SIZE, min(images, max_batch_size))
    step = BATCH_MULTIPLE if limit >= 2 * BATCH_MULTIPLE else 2
    sizes = range(limit - limit % step, max(limit // 2, MIN_BATCH_SIZE - 1), -step)
    return min(sizes, key=lambda size: images % size)
