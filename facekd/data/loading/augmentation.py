"""Deterministic augmentation: the random parameters of an image follow from (seed, epoch, index) alone.

The teacher cache stores one output per image and cache slot, so each augmented version of an image belongs to a slot. A
flip has two versions, and thus two slots contain all of them. Random crops differ in every epoch; their slot k contains
the versions of epoch k. Crops are in `facekd.data.loading.crops`, effects of cameras in `facekd.data.loading.camera`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from facekd.data import cv2
from facekd.data.image_set import Pixels
from facekd.data.transforms import center_crop, resize
from facekd.errors import DataError

NUM_PARAMS = 5
"""Number of random parameters per image and epoch that all kinds have; the constants below are their columns."""
TOP = 0
LEFT = 1
MIRROR = 2
AREA = 3
ASPECT_RATIO = 4


@dataclass(frozen=True)
class AugmentationParams:
    """The parameters of one augmented version of every image of a set.

    Attributes:
        params: float64 [images, params], uniform in [0, 1); the first `NUM_PARAMS` columns mean the same for all kinds.
        cache_slot: int64 [images], the slot of the teacher cache to which the version belongs.
    """

    params: NDArray[np.float64]
    cache_slot: NDArray[np.int64]


class Augmentation(ABC):
    """A random transform that can be replayed: it is split into drawing the parameters and applying them.

    Args:
        seed: the seed of the parameters. It is separate from the seed of the run, so that runs with different seeds can
            share one teacher cache.

    Attributes:
        key: identifies the versions in the file names of the teacher cache.
        is_cacheable: whether `prepare_image` ignores the parameters, so that its result can be kept for all epochs.
        is_scale_invariant: whether a version shows the same region of the image at every input size.
        always_prepares: whether `prepare_image` also changes an image that has the input size already.
    """

    key: str
    is_cacheable = True
    is_scale_invariant = True
    always_prepares = False

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    @abstractmethod
    def epoch_params(self, epoch: int, num_images: int) -> AugmentationParams:
        """Return the parameters of the versions that an epoch shows."""

    @abstractmethod
    def slot_params(self, slot: int, num_images: int) -> AugmentationParams:
        """Return the parameters of the versions that a slot of the teacher cache contains."""

    @abstractmethod
    def sibling_slots(self, slot: int) -> Sequence[int]:
        """Return the slots that occur in the same epochs as this one, including this one."""

    def prepare_image(self, image: Pixels, size: int, params: NDArray[np.float64], location: object) -> Pixels:
        """Bring one image to the input size of the network.

        Args:
            image: uint8 [height, width, 3].
            size: the side of the result in pixels.
            params: float64 [params], the parameters of the version.
            location: an object whose text describes where the image is stored, for the error message.

        Returns:
            uint8 [size, size, 3].

        Raises:
            DataError: the image is not square.
        """
        if image.shape[0] != image.shape[1]:
            raise DataError(
                f"{location} is {image.shape[1]}x{image.shape[0]}, square images are needed: run 'facekd align' on "
                "photographs of faces first; for a class set of other shapes set data.augmentation.kind=resized-crop"
            )
        return resize(image, size)

    @abstractmethod
    def augment_batch(self, images: Tensor, params: NDArray[np.float64]) -> Tensor:
        """Apply the rest of the transform to a batch of prepared images, on their device.

        Args:
            images: uint8 [N, size, size, 3]; may be modified in place.
            params: float64 [N, params], the parameters of their versions.

        Returns:
            uint8 [N, size, size, 3].
        """

    def _draw(self, epoch: int, num_images: int) -> NDArray[np.float64]:
        """Draw the parameters of an epoch: float64 [num_images, 5]. A longer set begins with the same rows."""
        return np.random.default_rng([self.seed, epoch, 1]).random((num_images, NUM_PARAMS))


class NoAugmentation(Augmentation):
    """Shows every image unchanged; all epochs share slot 0."""

    key = "plain"

    def epoch_params(self, epoch: int, num_images: int) -> AugmentationParams:
        """See `Augmentation.epoch_params`."""
        return self.slot_params(0, num_images)

    def slot_params(self, slot: int, num_images: int) -> AugmentationParams:
        """See `Augmentation.slot_params`."""
        return _constant_params(0.5, slot, num_images)

    def sibling_slots(self, slot: int) -> Sequence[int]:
        """See `Augmentation.sibling_slots`."""
        return (slot,)

    def augment_batch(self, images: Tensor, params: NDArray[np.float64]) -> Tensor:
        """Return ``images`` unchanged."""
        return images


class CenterCrop(NoAugmentation):
    """The evaluation transform of classifiers, for images of any shape; see `facekd.data.transforms.center_crop`."""

    key = "center"

    def prepare_image(self, image: Pixels, size: int, params: NDArray[np.float64], location: object) -> Pixels:
        """See `Augmentation.prepare_image`."""
        return center_crop(image, size)


class Flip(Augmentation):
    """Mirrors half of the images, the standard augmentation of face recognition.

    Stronger augmentations hurt small face networks (RandAugment costs a MobileFaceNet four points of MegaFace rank-1,
    cavaface's model zoo).
    """

    key = "flip"

    def epoch_params(self, epoch: int, num_images: int) -> AugmentationParams:
        """See `Augmentation.epoch_params`; slot 1 contains the mirrored images."""
        params = self._draw(epoch, num_images)
        return AugmentationParams(params, is_mirrored(params).astype(np.int64))

    def slot_params(self, slot: int, num_images: int) -> AugmentationParams:
        """See `Augmentation.slot_params`."""
        return _constant_params(0.5 if slot == 0 else 0.0, slot, num_images)

    def sibling_slots(self, slot: int) -> Sequence[int]:
        """See `Augmentation.sibling_slots`."""
        return (0, 1)

    def augment_batch(self, images: Tensor, params: NDArray[np.float64]) -> Tensor:
        """See `Augmentation.augment_batch`."""
        return mirror(images, params)


def mirror(images: Tensor, params: NDArray[np.float64]) -> Tensor:
    """Mirror the versions that their parameters say, see `Augmentation.augment_batch`."""
    mirrored = is_mirrored(params)
    if images.device.type == "cpu":  # OpenCV mirrors bytes twenty times faster than torch
        pixels = images.numpy()
        for row in np.flatnonzero(mirrored).tolist():
            pixels[row] = cv2.flip(pixels[row], 1)
        return images
    return torch.where(torch.from_numpy(mirrored).to(images.device).view(-1, 1, 1, 1), images.flip(2), images)


def is_mirrored(params: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which versions are mirrored: bool [N]."""
    return np.asarray(params[:, MIRROR] < 0.5, np.bool_)


def _constant_params(value: float, slot: int, num_images: int) -> AugmentationParams:
    """Return parameters that are equal for all images, all of them in one slot."""
    return AugmentationParams(np.full((num_images, NUM_PARAMS), value), np.full(num_images, slot, np.int64))
