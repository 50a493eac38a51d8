"""Effects of cameras and networks on photographs: distance, blur, light, and JPEG compression.

The effects are computed by OpenCV. The functions of torchvision do the same, but torchvision as PyPI has it cannot be
imported beside a torch for CPUs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from facekd.data import cv2
from facekd.data.image_set import Pixels
from facekd.data.loading.augmentation import NUM_PARAMS, Augmentation, AugmentationParams, mirror
from facekd.data.transforms import stretch

SHRINK_SHARE, BLUR_SHARE, LIGHT_SHARE, JPEG_SHARE = 0.3, 0.3, 0.7, 0.5
"""The shares of the versions with each effect."""
SHRINK_RANGE = (0.35, 0.9)
"""The side of a face that is farther away, as a share of the crop's."""
BLUR_RANGE = (0.5, 1.8)
"""The standard deviation of the blur in pixels of a crop of `BLUR_SIDE` pixels."""
BLUR_SIDE = 112
BRIGHTNESS_RANGE = (0.6, 1.4)
CONTRAST_RANGE = (0.7, 1.3)
SATURATION_RANGE = (0.5, 1.5)
WHITE_BALANCE_RANGE = (0.92, 1.08)
"""The gain of the red and, in the other direction, of the blue channel."""
QUALITY_RANGE = (20.0, 95.0)
"""The quality of JPEG."""
LUMINANCE = (0.299, 0.587, 0.114)
"""The weights of red, green and blue (ITU-R BT.601)."""
NUM_EFFECT_PARAMS = 11
"""Whether each of four effects is applied, and seven strengths."""


class Camera(Augmentation):
    """Shows every image as other cameras may have taken it, and mirrors half of the versions.

    The effects are applied to the stored image before it is resized, so that networks of several input sizes see one
    picture. Epochs go around a fixed number of versions, which bounds the teacher cache.

    Args:
        seed: see `Augmentation`.
        versions: the number of versions of each image; 0: every epoch has its own.
    """

    is_cacheable = False
    always_prepares = True

    def __init__(self, seed: int = 0, versions: int = 8) -> None:
        super().__init__(seed)
        self.versions = versions
        self.key = f"camera-seed{seed}"

    def epoch_params(self, epoch: int, num_images: int) -> AugmentationParams:
        """See `Augmentation.epoch_params`."""
        return self.slot_params(epoch % self.versions if self.versions else epoch, num_images)

    def slot_params(self, slot: int, num_images: int) -> AugmentationParams:
        """See `Augmentation.slot_params`; slot k holds version k."""
        generator = np.random.default_rng([self.seed, slot, 2])
        params = generator.random((num_images, NUM_PARAMS + NUM_EFFECT_PARAMS))
        return AugmentationParams(params, np.full(num_images, slot, np.int64))

    def sibling_slots(self, slot: int) -> Sequence[int]:
        """See `Augmentation.sibling_slots`."""
        return (slot,)

    def prepare_image(self, image: Pixels, size: int, params: NDArray[np.float64], location: object) -> Pixels:
        """See `Augmentation.prepare_image`."""
        effects = params[NUM_PARAMS : NUM_PARAMS + NUM_EFFECT_PARAMS]
        return super().prepare_image(apply_effects(image, effects), size, params, location)

    def augment_batch(self, images: Tensor, params: NDArray[np.float64]) -> Tensor:
        """See `Augmentation.augment_batch`."""
        return mirror(images, params)


def apply_effects(image: Pixels, params: NDArray[np.float64]) -> Pixels:
    """Return an image with the effects that its parameters say, in the order of a camera.

    Args:
        image: uint8 [height, width, 3], RGB; it is not changed.
        params: float64 [11] in [0, 1): four that decide about shrinking, blur, light and JPEG, then their strengths.
    """
    shrinks, blurs, changes_light, compresses = params[:4] < (SHRINK_SHARE, BLUR_SHARE, LIGHT_SHARE, JPEG_SHARE)
    share, sigma, brightness, contrast, saturation, white_balance, quality = params[4:].tolist()
    if shrinks:
        image = _shrink(image, _scale(share, SHRINK_RANGE))
    if blurs:
        image = _blur(image, _scale(sigma, BLUR_RANGE))
    if changes_light:
        image = _change_light(image, _scale(brightness, BRIGHTNESS_RANGE), _scale(contrast, CONTRAST_RANGE),
                              _scale(saturation, SATURATION_RANGE), _scale(white_balance, WHITE_BALANCE_RANGE))
    if compresses:
        image = _compress(image, round(_scale(quality, QUALITY_RANGE)))
    return image


def _scale(value: float, limits: tuple[float, float]) -> float:
    return limits[0] + value * (limits[1] - limits[0])


def _shrink(image: Pixels, share: float) -> Pixels:
    """Return the image at a share of its resolution, in its old size."""
    height, width = image.shape[:2]
    small = stretch(image, max(1, round(share * height)), max(1, round(share * width)))
    return stretch(small, height, width)


def _blur(image: Pixels, sigma: float) -> Pixels:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma * min(image.shape[:2]) / BLUR_SIDE), np.uint8)


def _change_light(image: Pixels, brightness: float, contrast: float, saturation: float, white_balance: float) -> Pixels:
    """Return contrast * brightness * balanced and saturated color + what keeps middle gray, cut to uint8."""
    saturated = saturation * np.eye(3) + (1 - saturation) * np.array([LUMINANCE] * 3)
    linear = contrast * brightness * np.diag([white_balance, 1, 1 / white_balance]) @ saturated
    offset = np.full((3, 1), (1 - contrast) * 127.5)
    return np.asarray(cv2.transform(image, np.hstack([linear, offset])), np.uint8)


def _compress(image: Pixels, quality: int) -> Pixels:
    _, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR_RGB), np.uint8)
