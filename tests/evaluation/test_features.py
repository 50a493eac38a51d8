from __future__ import annotations

import threading
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from facekd.errors import DataError
from facekd.evaluation.features import embed_images, read_features, unit_rows, write_features
from facekd.models.embedder import Embedder


class MeanColours(Embedder):
    """Mean colour of the left and of the right half: knows order, colour order and mirrors."""

    name, size, dimension, fingerprint = "mean colours", 8, 6, "0" * 64

    def __init__(self) -> None:
        self.batches: list[int] = []

    def forward(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.batches.append(len(crops))
        halves = crops[:, :, :4].mean((1, 2)), crops[:, :, 4:].mean((1, 2))
        return np.concatenate(halves, axis=1).astype(np.float32)


def picture(index: int) -> NDArray[np.uint8]:
    image = np.zeros((8, 8, 3), np.uint8)
    image[:, :4] = (10 + index % 200, 50, 200)
    image[:, 4:] = (200, 100, 30 + index % 200)
    return image


def encoded(index: int) -> bytes:
    return cv2.imencode(".png", picture(index)[..., ::-1])[1].tobytes()


def place(index: int) -> str:
    return f"picture {index}"


def test_embeddings_come_in_order_whatever_the_batch() -> None:
    crops = np.stack([picture(index) for index in range(23)])
    embedder = MeanColours()
    features = embed_images(embedder, encoded, place, 23, batch=5)
    assert np.array_equal(features, MeanColours().embed(crops))
    assert set(embedder.batches) == {5, 3}


def test_flip_can_be_turned_off() -> None:
    crops = np.stack([picture(index) for index in range(4)])
    features = embed_images(MeanColours(), encoded, place, 4, flip=False)
    assert np.array_equal(features, MeanColours().embed(crops, flip=False))


def test_rows_have_unit_length_and_float32() -> None:
    features = embed_images(MeanColours(), encoded, place, 3)
    assert features.dtype == np.float32
    assert np.linalg.norm(features, axis=1) == pytest.approx(np.ones(3), abs=1e-6)


def test_decoding_runs_only_a_few_batches_ahead() -> None:
    lock, decoded, seen = threading.Lock(), [0], list[int]()

    class Watcher(MeanColours):
        def forward(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
            seen.append(decoded[0])
            return super().forward(crops)

    def read(index: int) -> bytes:
        with lock:
            decoded[0] += 1
        return encoded(index)

    embed_images(Watcher(), read, place, 400, flip=False, batch=4)
    assert all(count <= 4 * (batch + 4) for batch, count in enumerate(seen))


def test_an_undecodable_image_is_named() -> None:
    with pytest.raises(DataError, match="picture 7 does not decode"):
        embed_images(MeanColours(), lambda index: b"no image" if index == 7 else encoded(index), place, 9, batch=2)


def test_a_model_that_gives_zeros_is_reported() -> None:
    class Dead(MeanColours):
        def forward(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
            return np.zeros((len(crops), 6), np.float32)

    with pytest.raises(DataError, match="the embeddings by mean colours: 3 of 3 rows are zero"):
        embed_images(Dead(), encoded, place, 3)


def unit_features(rows: int = 10) -> NDArray[np.float32]:
    raw = np.random.default_rng(0).normal(size=(rows, 8))
    unit: NDArray[np.float32] = (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)
    return unit


def test_features_and_labels_come_back(tmp_path: Path) -> None:
    labels = np.arange(10) // 2
    write_features(tmp_path / "f.v1.npy", unit_features(), labels)
    features, found = read_features(tmp_path / "f.v1.npy")
    assert np.array_equal(features, unit_features())
    assert found is not None
    assert np.array_equal(found, labels)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["f.v1.labels.npy", "f.v1.npy"]


def test_unit_float32_is_memory_mapped(tmp_path: Path) -> None:
    write_features(tmp_path / "f.npy", unit_features(), None)
    assert isinstance(read_features(tmp_path / "f.npy")[0], np.memmap)


def test_writing_without_labels_removes_older_labels(tmp_path: Path) -> None:
    write_features(tmp_path / "f.npy", unit_features(), np.arange(10))
    write_features(tmp_path / "f.npy", unit_features(4), None)
    assert read_features(tmp_path / "f.npy")[1] is None


@pytest.mark.parametrize("kind", ["float16", "float32", "float64", ">f4"])
def test_other_lengths_and_types_are_normalised(tmp_path: Path, kind: str) -> None:
    raw = (unit_features() * 5).astype(kind)
    np.save(tmp_path / "f.npy", raw)
    features, _ = read_features(tmp_path / "f.npy")
    wide = raw.astype(np.float64)
    assert features.dtype == np.float32
    assert features == pytest.approx(wide / np.linalg.norm(wide, axis=1, keepdims=True), abs=1e-6)


def test_bad_rows_are_counted_and_named(tmp_path: Path) -> None:
    features = unit_features()
    features[3] = 0
    features[5, 1] = np.nan
    features[8, 2] = np.inf
    np.save(tmp_path / "f.npy", features)
    with pytest.raises(DataError, match=r"f\.npy: 3 of 10 rows are zero or not finite \(counted from 0: 3, 5, 8\)"):
        read_features(tmp_path / "f.npy")


def test_bad_rows_are_found_beyond_the_first_block() -> None:
    features = np.ones((9000, 2), np.float32)
    features[8999] = 0
    with pytest.raises(DataError, match=r"1 of 9000 rows .* 8999"):
        unit_rows(features, "these")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (np.ones(4, np.float32), "features are floats"),
        (np.ones((4, 2), np.int64), "features are floats"),
        (np.ones((0, 2), np.float32), "features are floats"),
        (np.array([{"a": 1}], object), "cannot be read as a NumPy array"),
    ],
)
def test_other_arrays_are_refused(tmp_path: Path, content: NDArray[np.generic], message: str) -> None:
    np.save(tmp_path / "f.npy", content, allow_pickle=True)
    with pytest.raises(DataError, match=message):
        read_features(tmp_path / "f.npy")


@pytest.mark.parametrize("cut", [0, 5, 100, 200])
def test_a_truncated_file_is_refused(tmp_path: Path, cut: int) -> None:
    np.save(tmp_path / "f.npy", unit_features())
    (tmp_path / "f.npy").write_bytes((tmp_path / "f.npy").read_bytes()[:cut])
    with pytest.raises(DataError, match="cannot be read as a NumPy array"):
        read_features(tmp_path / "f.npy")


def test_an_archive_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "f.npz", a=unit_features())
    (tmp_path / "f.npz").rename(tmp_path / "f.npy")
    with pytest.raises(DataError, match="archive"):
        read_features(tmp_path / "f.npy")


def test_labels_of_another_length_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "f.npy", unit_features())
    np.save(tmp_path / "f.labels.npy", np.arange(9))
    with pytest.raises(DataError, match=r"f\.labels\.npy holds int64 \(9,\); f\.npy needs whole numbers \(10,\)"):
        read_features(tmp_path / "f.npy")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        read_features(tmp_path / "f.npy")


def test_another_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"ends in \.npy"):
        write_features(tmp_path / "f.bin", unit_features(), None)
