from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.linalg import orthogonal_procrustes

from facekd.errors import RouteError
from facekd.route.rotation import (
    aligned_distance,
    procrustes_rotation,
    read_rotations,
    rotations_file,
    write_rotations,
)

Floats = NDArray[np.float64]


def random_rotation(dimension: int, seed: int) -> Floats:
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(dimension, dimension)))[0]


def unit(rows: Floats) -> Floats:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize(("images", "dimension"), [(200, 16), (16, 16), (5, 16)])
def test_the_rotation_is_that_of_scipy(images: int, dimension: int) -> None:
    rng = np.random.default_rng(0)
    embeddings, target = rng.normal(size=(2, images, dimension))
    rotation = procrustes_rotation(3 * embeddings, 5 * target)
    expected, _ = orthogonal_procrustes(unit(embeddings), unit(target))
    np.testing.assert_allclose(rotation.T @ rotation, np.eye(dimension), atol=1e-10)
    if images >= dimension:  # else the solution is not unique
        np.testing.assert_allclose(rotation, expected, atol=1e-8)
    distances = [np.square(unit(embeddings) @ matrix - unit(target)).sum() for matrix in (rotation, expected)]
    assert distances[0] == pytest.approx(distances[1])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_rotated_copy_has_no_distance(dtype: type) -> None:
    embeddings = np.random.default_rng(0).normal(size=(300, 8)).astype(dtype)
    rotated = embeddings @ random_rotation(8, seed=1).astype(dtype)
    assert np.square(unit(embeddings) - unit(rotated)).sum(1).mean() > 1
    assert aligned_distance(embeddings, rotated) == pytest.approx(0, abs=1e-6)
    np.testing.assert_allclose(procrustes_rotation(embeddings, rotated), random_rotation(8, seed=1), atol=1e-5)


def test_noise_is_not_explained_by_a_rotation() -> None:
    """The distance of unrelated sets stays at 2, although the rotation of all images would make it smaller."""
    first, second = np.random.default_rng(0).normal(size=(2, 100, 32))
    distance = aligned_distance(first, second)
    assert distance is not None and 1.8 < distance < 2.3
    rotated = unit(first) @ procrustes_rotation(first, second)
    assert np.square(rotated - unit(second)).sum(1).mean() < 1.2


@pytest.mark.parametrize(("images", "dimension"), [(9, 2), (20, 19), (0, 4)])
def test_too_few_images_determine_no_rotation(images: int, dimension: int) -> None:
    rows = np.random.default_rng(0).normal(size=(images, dimension))
    assert aligned_distance(rows, rows) is None


def test_rotations_are_read_as_they_were_written(tmp_path: Path) -> None:
    rotations = {point: random_rotation(4, point).astype(np.float32) for point in (0, 12)}
    file = rotations_file(tmp_path / "rco.json")
    assert file.name == "rco.rotations.safetensors"
    write_rotations(file, rotations)
    read = read_rotations(file)
    assert read.keys() == rotations.keys()
    for point, rotation in rotations.items():
        np.testing.assert_array_equal(read[point], rotation)


@pytest.mark.parametrize("content", [None, b"", b"no safetensors file"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "rco.rotations.safetensors"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(RouteError, match=r"rco\.rotations\.safetensors (cannot be read|does not exist)"):
        read_rotations(file)


@pytest.mark.parametrize("matrix", [
    np.zeros(4, np.float32), np.zeros((4, 3), np.float32), np.eye(4), np.full((4, 4), np.nan, np.float32),
    np.diag(np.float32([1, np.inf])),
])
def test_what_is_no_square_matrix_of_finite_numbers_is_refused(tmp_path: Path, matrix: NDArray[Any]) -> None:
    write_rotations(tmp_path / "rco.rotations.safetensors", {0: np.eye(4, dtype=np.float32), 1: matrix})
    with pytest.raises(RouteError, match="rotations are square float32 matrices of finite numbers"):
        read_rotations(tmp_path / "rco.rotations.safetensors")
