"""From encoded bytes to the array a network takes: one place for colour order, resizing, mirroring and scaling."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from facekd.data import cv2
from facekd.errors import DataError

Crops = NDArray[np.uint8]
"""Aligned faces, uint8 [images, size, size, 3], RGB: the only form in which images travel through facekd."""


def decode(data: bytes, where: object) -> NDArray[np.uint8]:
    """Decode an image.

    Args:
        data: JPEG, PNG, BMP or WebP bytes.
        where: its text says how a person finds the image, for the error.

    Returns:
        uint8 [height, width, 3], RGB.

    Raises:
        DataError: the bytes are no image.
    """
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB) if data else None
    if image is None:
        raise DataError(f"{where} does not decode as an image; remove it or replace it with a readable one")
    return np.asarray(image, np.uint8)


def resize(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Resize to ``size`` x ``size`` pixels: area averaging when shrinking, linear when enlarging."""
    if image.shape[:2] == (size, size):
        return image
    return stretch(image, size, size)


def stretch(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Resize to ``height`` x ``width`` pixels: area averaging when the shorter side shrinks, else linear."""
    shrink = min(height, width) < min(image.shape[:2])
    interpolation = cv2.INTER_AREA if shrink else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (width, height), interpolation=interpolation), np.uint8)


def centre(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """The view a classifier is measured on: ImageNet's, the centre of an image shrunk to a little more than needed.

    The shorter side is resized to ``round(size * 256 / 224)``, the aspect kept (area averaging when shrinking, linear
    when enlarging), and the middle is cut out. An image that is ``size`` x ``size`` already, as CIFAR's at 32, is
    taken as it is.

    Args:
        image: uint8 [height, width, 3].
        size: side of the view in pixels.

    Returns:
        uint8 [size, size, 3].
    """
    height, width = image.shape[:2]
    if height == width == size:
        return image
    shorter = round(size * 256 / 224)
    scale = shorter / min(height, width)
    high, wide = max(shorter, round(height * scale)), max(shorter, round(width * scale))
    whole = stretch(image, high, wide)
    top, left = (high - size) // 2, (wide - size) // 2
    return np.ascontiguousarray(whole[top : top + size, left : left + size])


def crop_of(data: bytes, size: int, where: str) -> NDArray[np.uint8]:
    """Decode an aligned crop and bring it to ``size``.

    Returns:
        uint8 [size, size, 3], RGB.

    Raises:
        DataError: the bytes are no image, or one that is not square (then it is no aligned crop).
    """
    image = decode(data, where)
    if image.shape[0] != image.shape[1]:
        height, width = image.shape[:2]
        raise DataError(
            f"{where} is {width}x{height}, aligned crops are square; run 'facekd align' on the photographs first"
        )
    return resize(image, size)
