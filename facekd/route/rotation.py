"""The rotation between the embeddings of two points of a route: embeddings have no preferred basis.

An early point may differ from the end by a rotation of the whole space. It does not change any cosine between two
images, but a student that follows the point learns it, and has to unlearn it at the next anchor (ours).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from facekd.errors import RouteError
from facekd.io import files
from facekd.io.reading import reading
from facekd.utils.functional import l2_normalize_rows

FOLDS = 10
"""Parts of the images in `aligned_distance`; the rotation of each part is found on the other parts."""

Floats = NDArray[np.floating[Any]]


def procrustes_rotation(embeddings: Floats, target: Floats) -> NDArray[np.float64]:
    """Return the orthogonal matrix R that minimizes ||E R - T|| (Schönemann, Psychometrika 1966); [D, D].

    E and T are the embeddings at unit length. A reflection is allowed, too.

    Args:
        embeddings: [images, D].
        target: [images, D], of the same images.
    """
    unit, unit_target = (l2_normalize_rows(np.asarray(rows, np.float64)) for rows in (embeddings, target))
    left, _, right = np.linalg.svd(unit.T @ unit_target)
    return np.asarray(left @ right, np.float64)


def aligned_distance(embeddings: Floats, target: Floats) -> float | None:
    """Return the mean squared distance at unit length between E R and T, on images from which R was not found.

    R is `procrustes_rotation` of nine tenths of the images, and the distance is measured on the last tenth, for every
    tenth. Measured on the images that R was found on, the distance of two unrelated sets would be small, too.

    Args:
        embeddings: [images, D].
        target: [images, D], of the same images.

    Returns:
        a number between 0 and 4, as the congruence loss of embeddings; None if nine tenths of the images are fewer than
        D images, which do not determine a rotation.
    """
    images, dimension = embeddings.shape
    fold = np.random.default_rng(0).permutation(images) % FOLDS
    if images < FOLDS or images - np.bincount(fold).max() < dimension:
        return None
    unit, unit_target = (l2_normalize_rows(np.asarray(rows, np.float64)) for rows in (embeddings, target))
    total = 0.0
    for number in range(FOLDS):
        measured = fold == number
        rotation = procrustes_rotation(unit[~measured], unit_target[~measured])
        total += float(np.square(unit[measured] @ rotation - unit_target[measured]).sum())
    return total / float(images)


def rotations_file(plan: Path) -> Path:
    """Return the path of the rotations of a plan file."""
    return plan.with_name(f"{plan.stem}.rotations.safetensors")


def write_rotations(file: Path, rotations: Mapping[int, NDArray[np.float32]]) -> None:
    """Write the rotations by point number atomically.

    Raises:
        SetupError: the disk is full.
    """
    with files.atomic_write(file) as temporary:
        save_file({str(point): np.ascontiguousarray(matrix) for point, matrix in rotations.items()}, temporary)


def read_rotations(file: Path) -> dict[int, NDArray[np.float32]]:
    """Read the rotations by point number.

    Raises:
        RouteError: the file is missing or damaged, or holds something else than square matrices of finite numbers.
    """
    with reading(file, RouteError, kind="rotations", remedy="restore it, or make the plan again by 'facekd plan'"):
        rotations = {int(point): matrix for point, matrix in load_file(file).items()}
        if not all(map(_can_rotate, rotations.values())):
            raise ValueError("rotations are square float32 matrices of finite numbers")
        return rotations


def _can_rotate(matrix: NDArray[Any]) -> bool:
    is_square = matrix.ndim == 2 and matrix.shape[0] == matrix.shape[1]
    return is_square and matrix.dtype == np.float32 and bool(np.isfinite(matrix).all())
