"""Random crops of images, which differ in every epoch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from facekd.data.image_set import Pixels
from facekd.data.loading.augmentation import (
    AREA,
    ASPECT_RATIO,
    LEFT,
    TOP,
    Augmentation,
    AugmentationParams,
    is_mirrored,
)
from facekd.data.transforms import stretch


class Crop(Augmentation):
    """Pads with black, crops a random square of the original size and mirrors half of the images.

    This is the protocol of CIFAR (He et al., 2016).

    Args:
        seed: see `Augmentation`.
        padding: the number of black pixels on each side.
    """

    is_scale_invariant = False

    def __init__(self, seed: int = 0, padding: int = 4) -> None:
        super().__init__(seed)
        self.padding = padding
        self.key = f"crop{padding}-seed{seed}"

    def epoch_params(self, epoch: int, num_images: int) -> AugmentationParams:
        """See `Augmentation.epoch_params`."""
        return self.slot_params(epoch, num_images)

    def slot_params(self, slot: int, num_images: int) -> AugmentationParams:
        """See `Augmentation.slot_params`; slot k is epoch k."""
        return AugmentationParams(self._draw(slot, num_images), np.full(num_images, slot, np.int64))

    def sibling_slots(self, slot: int) -> Sequence[int]:
        """See `Augmentation.sibling_slots`."""
        return (slot,)

    def augment_batch(self, images: Tensor, params: NDArray[np.float64]) -> Tensor:
        """See `Augmentation.augment_batch`. Crop and mirror are one gather of pixels from the padded batch."""
        offsets = np.arange(images.shape[1])
        shifts = (params[:, [TOP, LEFT]] * (2 * self.padding + 1)).astype(np.int64)
        rows = shifts[:, :1] + offsets
        columns = shifts[:, 1:] + offsets
        columns = np.where(is_mirrored(params)[:, None], columns[:, ::-1], columns)
        # The three indices broadcast to [N, size, size].
        indices = (np.arange(len(images))[:, None, None], rows[:, :, None], columns[:, None, :])
        padded = F.pad(images, (0, 0, *(self.padding,) * 4))
        return padded[tuple(torch.from_numpy(index).to(images.device) for index in indices)]


class ResizedCrop(Crop):
    """Crops a rectangle of 8 to 100 % of the area and aspect ratio 3:4 to 4:3, resizes it, mirrors half of the images.

    This is the training augmentation of ImageNet (Szegedy et al., CVPR 2015). The first rectangle drawn is used; it is
    shrunk if it does not fit into the image.

    Args:
        seed: see `Augmentation`.
    """

    is_cacheable = False
    is_scale_invariant = True
    always_prepares = True

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed, 0)
        self.key = f"resized-crop-seed{seed}"

    def prepare_image(self, image: Pixels, size: int, params: NDArray[np.float64], location: object) -> Pixels:
        """See `Augmentation.prepare_image`; accepts images of any shape."""
        image_height, image_width = image.shape[:2]
        area = image_height * image_width * (0.08 + 0.92 * params[AREA])
        ratio = (4 / 3) ** (2 * params[ASPECT_RATIO] - 1)
        height = min(image_height, max(1, round((area / ratio) ** 0.5)))
        width = min(image_width, max(1, round((area * ratio) ** 0.5)))
        top = int(params[TOP] * (image_height - height + 1))
        left = int(params[LEFT] * (image_width - width + 1))
        return stretch(image[top : top + height, left : left + width], size, size)
