"""Convert encoded bytes to pixel arrays: the one place for color order, resizing and cropping."""

from __future__ import annotations

from contextlib import nullcontext
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from facekd.data import cv2
from facekd.data.image_header import read_image_size
from facekd.errors import DataError
from facekd.text import shorten

Crops = NDArray[np.uint8]
"""Aligned faces, uint8 [images, size, size, 3], RGB: the only form in which facekd passes batches of images on."""

MAX_PIXELS = 1 << 27
"""Largest image that is decoded, in pixels: photographs of 134 megapixels; decoding one takes about 0.8 GB."""
LARGE_PIXELS = 1 << 24
"""Images above this number of pixels are decoded one at a time, so that threads do not multiply their memory."""
_MAX_SCANNED_PIXELS = 1 << 33
"""Pixels times scans of a progressive JPEG, which has some ten scans; its decoding time grows with both."""
_MIN_WORK = 10 * _MAX_SCANNED_PIXELS
"""Pixels times bytes below which a JPEG cannot hold so many scans: a scan takes at least 10 bytes."""
_large_image_lock = Lock()


def decode(data: bytes, location: object) -> NDArray[np.uint8]:
    """Decode an image. Transparency is ignored; of an animation the first frame is decoded.

    Args:
        data: JPEG, PNG, BMP or WebP bytes; other formats that OpenCV reads are decoded, too.
        location: an object whose text describes where the image is stored, for the error message.

    Returns:
        uint8 [height, width, 3], RGB.

    Raises:
        DataError: the bytes are not an image, or an image of more than `MAX_PIXELS` pixels.
    """
    try:
        size = read_image_size(data)
    except ValueError as error:
        raise _undecodable(location, str(error)) from error
    pixels = size[0] * size[1] if size else MAX_PIXELS  # of other formats OpenCV's own limit keeps out larger images
    if pixels <= LARGE_PIXELS and pixels * len(data) <= _MIN_WORK:
        return _decode(data, location)
    _check_work(data, size, location)
    with _large_image_lock if pixels > LARGE_PIXELS else nullcontext():
        return _decode(data, location)


def _decode(data: bytes, location: object) -> NDArray[np.uint8]:
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB) if data else None
    except (cv2.error, MemoryError) as error:
        raise _undecodable(location, getattr(error, "err", "") or "it needs more memory than there is") from error
    if image is None:
        raise _undecodable(location)
    return np.asarray(image, np.uint8)


def _undecodable(location: object, reason: str = "") -> DataError:
    because = f" ({shorten(reason, 80)})" if reason else ""
    return DataError(f"{location} does not decode as an image{because}; remove it or replace it with a readable one")


def _check_work(data: bytes, size: tuple[int, int] | None, location: object) -> None:
    """Refuse an image that takes too much memory or time; ``size`` is None for other formats."""
    width, height = size or (0, 0)
    if width * height > MAX_PIXELS:
        raise DataError(f"{location} has {width:,} x {height:,} pixels, and images above {MAX_PIXELS / 1e6:.0f} "
                        "million pixels are not decoded; shrink it or remove it")
    scans = data.count(b"\xff\xda") if data.startswith(b"\xff\xd8") else 1
    if width * height * scans > _MAX_SCANNED_PIXELS:
        raise DataError(f"{location} is a JPEG of {scans:,} scans, which takes too long to decode; save it again")


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
