"""Convert encoded bytes to pixel arrays: the one place for color order, resizing and cropping."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from facekd.data import cv2
from facekd.errors import DataError

Crops = NDArray[np.uint8]
"""Aligned faces, uint8 [images, size, size, 3], RGB: the only form in which facekd passes batches of images on."""


def decode(data: bytes, location: object) -> NDArray[np.uint8]:
    """Decode an image.

    Args:
        data: JPEG, PNG, BMP or WebP bytes.
        location: an object whose text describes where the image is stored, for the error message.

    Returns:
        uint8 [height, width, 3], RGB.

    Raises:
        DataError: the bytes are not an image.
    """
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB) if data else None
    if image is None:
        raise DataError(f"{location} does not decode as an image; remove it or replace it with a readable one")
    return np.asarray(image, np.uint8)


def resize(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Resize to ``size`` x ``size`` pixels; an image of that size is returned unchanged. See `stretch`."""
    if image.shape[:2] == (size, size):
        return image
    return stretch(image, size, size)


def stretch(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Resize to ``height`` x ``width`` pixels: area averaging if the shorter side shrinks, else linear."""
    shrinks = min(height, width) < min(image.shape[:2])
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (width, height), interpolation=interpolation), np.uint8)


def center_crop(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Apply ImageNet's evaluation transform: resize, then crop the center.

    The shorter side is resized to ``round(size * 256 / 224)`` with the aspect ratio preserved (area averaging if it
    shrinks, else linear interpolation), and the center is cropped. An image that is already ``size`` x ``size``, such
    as a CIFAR image at size 32, is returned unchanged.

    Args:
        image: uint8 [height, width, 3].
        size: the side of the crop in pixels.

    Returns:
        uint8 [size, size, 3].
    """
    height, width = image.shape[:2]
    if height == width == size:
        return image
    shorter = round(size * 256 / 224)
    scale = shorter / min(height, width)
    new_height = max(shorter, round(height * scale))
    new_width = max(shorter, round(width * scale))
    resized = stretch(image, new_height, new_width)
    top = (new_height - size) // 2
    left = (new_width - size) // 2
    return np.ascontiguousarray(resized[top : top + size, left : left + size])


def decode_crop(data: bytes, size: int, location: str) -> NDArray[np.uint8]:
    """Decode an aligned crop and resize it to ``size`` x ``size`` pixels.

    Args:
        data: the encoded image.
        size: the side of the result in pixels.
        location: a description of where the image is stored, for the error messages.

    Returns:
        uint8 [size, size, 3], RGB.

    Raises:
        DataError: the bytes are not an image, or the image is not square and thus not an aligned crop.
    """
    image = decode(data, location)
    if image.shape[0] != image.shape[1]:
        height, width = image.shape[:2]
        raise DataError(
            f"{location} is {width}x{height}, aligned crops are square; run 'facekd align' on the photographs first"
        )
    return resize(image, size)
