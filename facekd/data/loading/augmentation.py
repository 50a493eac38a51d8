"""Which version of an image a training step sees: drawn from (seed, epoch, index) alone, so that it can be replayed.

A version belongs to a slot of the teacher cache: a mirrored face is always the same picture, so two slots hold all
versions; random crops are as many as epochs, and slot k holds what epoch k shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from facekd.data import cv2
from facekd.data.image_set import Pixels
from facekd.data.transforms import centre, resize, stretch
from facekd.errors import DataError

COLUMNS = 5
"""Uniform numbers an image and epoch: top, left, mirror, area, shape."""


@dataclass(frozen=True)
class Versions:
    """One version of every image of a set.

    Attributes:
        numbers: float64 [images, 5] in [0, 1): what the version is made of.
        slot: int64 [images], where a teacher cache keeps it.
    """

    numbers: NDArray[np.float64]
    slot: NDArray[np.int64]


class Augmentation:
    """Images as they are; the base of the others.

    Args:
        seed: of the versions; apart from the run's seed, so that runs of several seeds can share a teacher's answers.

    Attributes:
        key: names the versions in the file names of a teacher cache.
        fixed: whether an image is brought to the network's size in one way whatever its version; then it can be kept.
        scales: whether a version shows the same part of the image at every size.
    """

    key = "plain"
    fixed = True
    scales = True

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def epoch(self, epoch: int, images: int) -> Versions:
        """The versions that an epoch shows."""
        return self.slot(0, images)

    def slot(self, slot: int, images: int) -> Versions:
        """The versions that a slot of a teacher cache holds."""
        return Versions(np.full((images, COLUMNS), 0.5), np.full(images, slot, np.int64))

    def beside(self, slot: int) -> Sequence[int]:
        """The slots that are shown in the epochs which show this one, itself among them."""
        return (slot,)

    def load(self, image: Pixels, size: int, numbers: NDArray[np.float64], where: object) -> Pixels:
        """One image at the network's size: uint8 [size, size, 3].

        Args:
            image: uint8 [height, width, 3].
            size: side in pixels.
            numbers: float64 [5], of the version.
            where: its text says how a person finds the image, for the error.

        Raises:
            DataError: the image is not square.
        """
        if image.shape[0] != image.shape[1]:
            raise DataError(
                f"{where} is {image.shape[1]}x{image.shape[0]}, square images are needed: run 'facekd align' on "
                "photographs of faces first; for a class set of other shapes set data.views.kind=resized-crop"
            )
        return resize(image, size)

    def render(self, images: Tensor, numbers: NDArray[np.float64]) -> Tensor:
        """What is left to do to a batch, on the device it lies on.

        Args:
            images: uint8 [N, size, size, 3]; they may be written over.
            numbers: float64 [N, 5], of their versions.

        Returns:
            uint8 [N, size, size, 3].
        """
        return images

    def _draw(self, epoch: int, images: int) -> NDArray[np.float64]:
        return np.random.default_rng([self.seed, epoch, 1]).random((images, COLUMNS))


class Centre(Augmentation):
    """The view classifiers are measured on, see `facekd.data.transforms.centre`; images of any shape."""

    key = "centre"

    def load(self, image: Pixels, size: int, numbers: NDArray[np.float64], where: object) -> Pixels:
        """See `Augmentation.load`."""
        return centre(image, size)


class Flip(Augmentation):
    """Mirrors half of the images: what face networks are trained with.

    Stronger augmentations hurt small face networks (RandAugment costs a MobileFaceNet four points of MegaFace rank-1,
    cavaface's model zoo).
    """

    key = "flip"

    def epoch(self, epoch: int, images: int) -> Versions:
        """See `Augmentation.epoch`; slot 1 holds the mirrored images."""
        numbers = self._draw(epoch, images)
        return Versions(numbers, (numbers[:, 2] < 0.5).astype(np.int64))

    def beside(self, slot: int) -> Sequence[int]:
        """See `Augmentation.beside`."""
        return (0, 1)

    def slot(self, slot: int, images: int) -> Versions:
        """See `Augmentation.slot`."""
        numbers = np.full((images, COLUMNS), 0.5 if slot == 0 else 0.0)
        return Versions(numbers, np.full(images, slot, np.int64))

    def render(self, images: Tensor, numbers: NDArray[np.float64]) -> Tensor:
        """See `Augmentation.render`."""
        mirrored = numbers[:, 2] < 0.5
        if images.device.type == "cpu":  # OpenCV mirrors bytes twenty times faster than torch
            pixels = images.numpy()
            for row in np.flatnonzero(mirrored).tolist():
                pixels[row] = cv2.flip(pixels[row], 1)
            return images
        return torch.where(torch.from_numpy(mirrored).to(images.device).view(-1, 1, 1, 1), images.flip(2), images)


class Crop(Flip):
    """Pads with black, cuts a random square of the old size, mirrors half: the protocol of CIFAR (He et al., 2016)."""

    scales = False

    def __init__(self, seed: int = 0, padding: int = 4) -> None:
        super().__init__(seed)
        self.padding, self.key = padding, f"crop{padding}-seed{seed}"

    def epoch(self, epoch: int, images: int) -> Versions:
        """See `Augmentation.epoch`."""
        return self.slot(epoch, images)

    def beside(self, slot: int) -> Sequence[int]:
        """See `Augmentation.beside`."""
        return (slot,)

    def slot(self, slot: int, images: int) -> Versions:
        """See `Augmentation.slot`; slot k is epoch k."""
        return Versions(self._draw(slot, images), np.full(images, slot, np.int64))

    def render(self, images: Tensor, numbers: NDArray[np.float64]) -> Tensor:
        """See `Augmentation.render`; shift and mirror are one look-up of pixels."""
        along = np.arange(images.shape[1])
        shift = (numbers[:, :2] * (2 * self.padding + 1)).astype(np.int64)
        rows, columns = shift[:, :1] + along, shift[:, 1:] + along
        columns = np.where(numbers[:, 2:3] < 0.5, columns[:, ::-1], columns)
        first, rows_, columns_ = (
            torch.from_numpy(i).to(images.device)
            for i in (np.arange(len(images))[:, None, None], rows[:, :, None], columns[:, None, :])
        )
        return F.pad(images, (0, 0, *(self.padding,) * 4))[first, rows_, columns_]


class ResizedCrop(Crop):
    """Cuts a rectangle of 8 to 100 % of the area and 3:4 to 4:3, resizes it, mirrors half: ImageNet's training view.

    Szegedy et al., CVPR 2015; the first rectangle drawn is taken, shrunk where it does not fit.
    """

    fixed = False
    scales = True

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed, 0)
        self.key = f"resized-crop-seed{seed}"

    def load(self, image: Pixels, size: int, numbers: NDArray[np.float64], where: object) -> Pixels:
        """See `Augmentation.load`; images of any shape."""
        tall, wide = image.shape[:2]
        area = tall * wide * (0.08 + 0.92 * numbers[3])
        ratio = (4 / 3) ** (2 * numbers[4] - 1)
        height = min(tall, max(1, round((area / ratio) ** 0.5)))
        width = min(wide, max(1, round((area * ratio) ** 0.5)))
        top, left = int(numbers[0] * (tall - height + 1)), int(numbers[1] * (wide - width + 1))
        return stretch(image[top : top + height, left : left + width], size, size)
