"""The reference landmarks of an aligned crop, and the similarity transform that warps a face to them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facekd.data import cv2
from facekd.errors import DataError

REFERENCE_LANDMARKS_112 = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]], np.float64
)
"""Left eye, right eye, nose, left and right mouth corner (x, y) in ArcFace's crops of 112 px."""


def reference_landmarks(size: int) -> NDArray[np.float64]:
    """Return the five reference landmarks of a crop of ``size`` px: `REFERENCE_LANDMARKS_112` scaled, [5, 2].

    Every size shows the same region as a crop of 112 px, with one exception that InsightFace defines: multiples of 128
    that are not multiples of 112 show a larger region. At 128 px it is larger by 8 px on the left and on the right, and
    by 16 px at the bottom.
    """
    larger_region = size % 112 != 0 and size % 128 == 0
    scale = size / (128 if larger_region else 112)
    points: NDArray[np.float64] = (REFERENCE_LANDMARKS_112 + [8.0 * larger_region, 0.0]) * scale  # noqa: RUF005
    return points


def similarity_transform(points: ArrayLike, targets: ArrayLike) -> NDArray[np.float64]:
    """Return the rotation, uniform scale and translation that map points to targets with the least squared error.

    Umeyama, Least-squares estimation of transformation parameters between two point patterns, PAMI 1991, eq. 40-42.

    Args:
        points: [n, 2], at least two of them distinct.
        targets: [n, 2].

    Returns:
        float64 [2, 3], for ``matrix[:, :2] @ point + matrix[:, 2]``; never a reflection.

    Raises:
        DataError: all points coincide, or one is not finite.
    """
    source = np.asarray(points, np.float64)
    target = np.asarray(targets, np.float64)
    source_mean = source.mean(axis=0)
    target_mean = target.mean(axis=0)
    variance = ((source - source_mean) ** 2).sum() / len(source)
    if not (np.isfinite(variance) and variance > 0):
        raise DataError(f"the points {source.tolist()} coincide or are not finite, so no alignment follows; check them")
    left, singular, right = np.linalg.svd((target - target_mean).T @ (source - source_mean) / len(source))
    # The sign of the determinant (Umeyama's S) excludes reflections.
    signs = np.array([1.0, np.sign(np.linalg.det(left @ right))])
    linear = (singular * signs).sum() / variance * (left * signs) @ right
    return np.column_stack([linear, target_mean - linear @ source_mean])


def warp_face(image: NDArray[np.uint8], landmarks: NDArray[np.floating[Any]], size: int = 112) -> NDArray[np.uint8]:
    """Warp a face of a photograph to an aligned crop: linear interpolation, black outside of the photograph.

    Args:
        image: uint8 [height, width, 3].
        landmarks: [5, 2] (x, y), in the order of `facekd.data.alignment.detector.DetectedFace`.
        size: the side of the crop in pixels.

    Returns:
        uint8 [size, size, 3], in the color order of ``image``.
    """
    matrix = similarity_transform(landmarks, reference_landmarks(size))
    crop = cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR, borderValue=0)
    return crop.astype(np.uint8, copy=False)
