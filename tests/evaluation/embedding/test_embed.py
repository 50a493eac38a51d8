from __future__ import annotations

import threading

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from facekd.errors import DataError
from facekd.evaluation.embedding.embed import embed_images, embeddings
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

    with pytest.raises(DataError, match="mean colours of picture 0 is zero or not finite, as are 2 others of the 3"):
        embed_images(Dead(), encoded, place, 3)


def test_only_what_is_missing_is_embedded() -> None:
    parts = list(embeddings(MeanColours(), encoded, place, 23, batch=5, start=10))
    assert [len(part) for part in parts] == [5, 5, 3]
    assert np.array_equal(np.concatenate(parts), MeanColours().raw(np.stack([picture(i) for i in range(10, 23)])))


def test_an_undecodable_image_after_the_start_is_named() -> None:
    def read(index: int) -> bytes:
        return b"no image" if index == 17 else encoded(index)

    with pytest.raises(DataError, match="picture 17 does not decode"):
        list(embeddings(MeanColours(), read, place, 23, batch=5, start=10))


def test_an_image_without_an_embedding_is_named() -> None:
    class Faulty(MeanColours):
        def forward(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
            rows = super().forward(crops)
            rows[(crops[:, 0, 0, 0] == 10 + 13)] = np.nan
            return rows

    with pytest.raises(DataError, match="mean colours of picture 13 is zero or not finite, as are 0 others of the 5"):
        list(embeddings(Faulty(), encoded, place, 23, flip=False, batch=5))
