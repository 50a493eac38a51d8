"""The black borders that alignment leaves where a crop reaches beyond its photograph: found, and painted over.

A student may learn to recognize the shape of a border instead of the face. A training with other borders tells.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from facekd.data import cv2
from facekd.data.image_set import Pixels
from facekd.data.loading.augmentation import Augmentation, AugmentationParams

BLACK = 12
"""The brightest value of a channel in a border, which JPEG does not leave at 0."""
MIN_SHARE = 0.005
"""The smallest share of the image that is taken for a border."""
MIN_OUTSIDE = 0.75
"""The smallest share of the black parts at the edge outside of the convex hull of all else, if they are a border."""
MARGIN = 2
"""Pixels around a border that belong to it, because JPEG and interpolation darken them."""


class PaintedBorders(Augmentation):
    """Another augmentation, of images whose black borders are painted in one color.

    Args:
        inner: the other augmentation.
        mode: ``fill`` takes the mean color of the rest of the image, ``jitter`` a random color for each version.
    """

    always_prepares = True

    def __init__(self, inner: Augmentation, mode: Literal["fill", "jitter"]) -> None:
        super().__init__(inner.seed)
        self.inner = inner
        self.mode = mode
        self.is_cacheable = inner.is_cacheable and mode == "fill"
        self.is_scale_invariant = inner.is_scale_invariant
        self.key = f"{inner.key}-fill" if mode == "fill" else f"{inner.key}-jitter{inner.seed}"

    def epoch_params(self, epoch: int, num_images: int) -> AugmentationParams:
        """See `Augmentation.epoch_params`."""
        return self._with_colors(self.inner.epoch_params(epoch, num_images))

    def slot_params(self, slot: int, num_images: int) -> AugmentationParams:
        """See `Augmentation.slot_params`."""
        return self._with_colors(self.inner.slot_params(slot, num_images))

    def sibling_slots(self, slot: int) -> Sequence[int]:
        """See `Augmentation.sibling_slots`."""
        return self.inner.sibling_slots(slot)

    def prepare_image(self, image: Pixels, size: int, params: NDArray[np.float64], location: object) -> Pixels:
        """See `Augmentation.prepare_image`."""
        border = find_border(image)
        if border.any():
            image = image.copy()
            image[border] = 256 * params[-3:] if self.mode == "jitter" else image[~border].mean(axis=0)
        return self.inner.prepare_image(image, size, params, location)

    def augment_batch(self, images: Tensor, params: NDArray[np.float64]) -> Tensor:
        """See `Augmentation.augment_batch`."""
        return self.inner.augment_batch(images, params)

    def _with_colors(self, versions: AugmentationParams) -> AugmentationParams:
        """Append three columns for the color, which depends on seed, slot and index."""
        if self.mode == "fill":
            return versions
        colors = np.empty((len(versions.params), 3))
        for slot in np.unique(versions.cache_slot).tolist():
            drawn = np.random.default_rng([self.seed, slot, 3]).random(colors.shape)
            colors = np.where((versions.cache_slot == slot)[:, None], drawn, colors)
        return AugmentationParams(np.hstack([versions.params, colors]), versions.cache_slot)


def find_border(image: Pixels) -> NDArray[np.bool_]:
    """Return the pixels of black borders: bool [height, width]; none of them is True if all would be.

    A border is black, touches the edge of the image, and lies outside of the convex hull of all else, because the part
    of a photograph in a crop is convex. Most dark hair and dark backgrounds are told apart by the last; a black
    background with a convex outline is not.

    Args:
        image: uint8 [height, width, 3].
    """
    black = (image.max(axis=2) <= BLACK).astype(np.uint8)
    _, parts, statistics, _ = cv2.connectedComponentsWithStats(black, connectivity=4)
    edges = np.concatenate([parts[0], parts[-1], parts[:, 0], parts[:, -1]])
    touching = np.setdiff1d(edges, 0)
    large = touching[statistics[touching, cv2.CC_STAT_AREA] >= MIN_SHARE * black.size]
    candidate = np.isin(parts, large)
    photograph = cv2.findNonZero((~candidate).astype(np.uint8))
    if not large.size or photograph is None:
        return np.zeros(black.shape, np.bool_)
    hull = cv2.fillConvexPoly(np.zeros_like(black), cv2.convexHull(photograph), 1)
    border = candidate & (hull == 0)
    if border.sum() < max(MIN_OUTSIDE * candidate.sum(), MIN_SHARE * black.size):
        return np.zeros(black.shape, np.bool_)
    grown = cv2.dilate(border.astype(np.uint8), np.ones((2 * MARGIN + 1, 2 * MARGIN + 1), np.uint8))
    return np.asarray(grown, np.bool_)
