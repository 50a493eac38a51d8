"""Where a face stands in an aligned crop, and the warp that brings it there."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facekd.data import cv2
from facekd.errors import DataError

TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]], np.float64
)
"""Where ArcFace's 112 px crops have left eye, right eye, nose, left and right mouth corner (x, y)."""


def template(size: int) -> NDArray[np.float64]:
    """The five points of a ``size`` px crop: `TEMPLATE` scaled, [5, 2].

    Every size shows what the 112 px crop shows, save 128 px and its multiples that are none of 112: these show more, of
    128 px 8 on either side and 16 below, as InsightFace has it.
    """
    wide = size % 112 != 0 and size % 128 == 0
    points: NDArray[np.float64] = (TEMPLATE + [8.0 * wide, 0.0]) * (size / (128 if wide else 112))  # noqa: RUF005
    return points


def similarity(points: ArrayLike, targets: ArrayLike) -> NDArray[np.float64]:
    """The rotation, uniform scale and shift that brings points closest to targets in least squares.

    Umeyama, Least-squares estimation of transformation parameters between two point patterns, PAMI 1991, eq. 40-42.

    Args:
        points: [n, 2], at least two of them distinct.
        targets: [n, 2].

    Returns:
        float64 [2, 3], for ``matrix[:, :2] @ point + matrix[:, 2]``; never a reflection.

    Raises:
        DataError: the points all coincide, or one is not finite.
    """
    source, target = np.asarray(points, np.float64), np.asarray(targets, np.float64)
    centre, goal = source.mean(axis=0), target.mean(axis=0)
    variance = ((source - centre) ** 2).sum() / len(source)
    if not (np.isfinite(variance) and variance > 0):
        raise DataError(f"the points {source.tolist()} coincide or are not finite, so no alignment follows; check them")
    left, singular, right = np.linalg.svd((target - goal).T @ (source - centre) / len(source))
    signs = np.array([1.0, np.sign(np.linalg.det(left @ right))])
    linear = (singular * signs).sum() / variance * (left * signs) @ right
    return np.column_stack([linear, goal - linear @ centre])


def warp(image: NDArray[np.uint8], landmarks: NDArray[np.floating[Any]], size: int = 112) -> NDArray[np.uint8]:
    """Cut the aligned crop out of a photograph: linear interpolation, black beyond the border.

    Args:
        image: uint8 [height, width, 3].
        landmarks: [5, 2] (x, y), in the order of `detect.Face`.
        size: side of the crop in pixels.

    Returns:
        uint8 [size, size, 3], in the colour order of ``image``.
    """
    matrix = similarity(landmarks, template(size))
    crop = cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR, borderValue=0)
    return crop.astype(np.uint8, copy=False)
