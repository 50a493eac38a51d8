from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from facekd.data import cv2
from facekd.errors import DataError
from facekd.models.embedder import Embedder


class MeanEmbedder(Embedder):
    """Embeds a crop as the mean color of its left and of its right half."""

    name = "mean"
    size = 8
    dimension = 6
    fingerprint = "mean"

    def forward(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        halves = crops.reshape(len(crops), 8, 2, 4, 3).mean(axis=(1, 3))
        return halves.reshape(len(crops), 6).astype(np.float32)


@pytest.fixture
def crops() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)


def test_embeddings_have_unit_length_and_do_not_depend_on_mirroring(crops: NDArray[np.uint8]) -> None:
    embedder = MeanEmbedder()
    embeddings = embedder.embed(crops)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(embedder.embed(crops[:, :, ::-1]), embeddings, rtol=1e-5)
    assert not np.allclose(embedder.embed(crops[:, :, ::-1], flip=False), embedder.embed(crops, flip=False))


def test_without_normalization_embeddings_of_image_and_mirror_are_summed(crops: NDArray[np.uint8]) -> None:
    left, right = crops[:, :, :4].mean(axis=(1, 2)), crops[:, :, 4:].mean(axis=(1, 2))
    expected = np.concatenate([left + right, left + right], axis=1)
    np.testing.assert_allclose(MeanEmbedder().embed(crops, normalize=False), expected, rtol=1e-5)


def test_a_call_takes_image_files_of_any_square_size(tmp_path: Path, crops: NDArray[np.uint8]) -> None:
    paths = [tmp_path / f"{index}.png" for index in range(len(crops))]
    for path, crop in zip(paths, crops, strict=True):
        large = crop.repeat(2, axis=0).repeat(2, axis=1)
        assert cv2.imwrite(str(path), cv2.cvtColor(large, cv2.COLOR_RGB2BGR))
    embedder = MeanEmbedder()
    np.testing.assert_allclose(embedder(paths), embedder(crops), atol=1e-2)


def test_a_file_that_is_not_square_is_refused(tmp_path: Path) -> None:
    assert cv2.imwrite(str(tmp_path / "wide.png"), np.zeros((8, 16, 3), np.uint8))
    with pytest.raises(DataError, match=r"wide\.png"):
        MeanEmbedder()([tmp_path / "wide.png"])
