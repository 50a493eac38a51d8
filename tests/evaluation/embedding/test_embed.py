from __future__ import annotations

import threading
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from facekd.errors import DataError
from facekd.evaluation.embedding.embed import embed_batches, embed_images
from facekd.evaluation.types import Float32Array
from tests.evaluation.toy import MeanColors, MemoryFaces, PixelEmbedder


def picture(index: int) -> NDArray[np.uint8]:
    image = np.zeros((8, 8, 3), np.uint8)
    image[:, :4] = (10 + index % 200, 50, 200)
    image[:, 4:] = (200, 100, 30 + index % 200)
    return image


def pictures(count: int) -> NDArray[np.uint8]:
    return np.stack([picture(index) for index in range(count)])


def encode(index: int) -> bytes:
    return cv2.imencode(".png", picture(index)[..., ::-1])[1].tobytes()


class EncodedPictures:
    """So many pictures, encoded when they are read."""

    def __init__(self, count: int, read: Callable[[int], bytes] = encode) -> None:
        self.count = count
        self._read = read

    def __len__(self) -> int:
        return self.count

    def read(self, index: int) -> bytes:
        return self._read(index)

    def location(self, index: int) -> str:
        return f"picture {index}"


def test_embeddings_come_in_order_whatever_the_batch() -> None:
    embedder = MeanColors()
    features = embed_images(embedder, EncodedPictures(23), batch_size=5)
    assert np.array_equal(features, MeanColors().embed(pictures(23)))
    assert set(embedder.batch_sizes) == {5, 3}


def test_flip_can_be_turned_off() -> None:
    features = embed_images(MeanColors(), EncodedPictures(4), flip=False)
    assert np.array_equal(features, MeanColors().embed(pictures(4), flip=False))


def test_rows_have_unit_length_and_float32() -> None:
    features = embed_images(MeanColors(), EncodedPictures(3))
    assert features.dtype == np.float32
    assert np.linalg.norm(features, axis=1) == pytest.approx(np.ones(3), abs=1e-6)


def test_rows_keep_their_length_if_they_are_not_normalized() -> None:
    features = embed_images(MeanColors(), EncodedPictures(3), normalize=False)
    assert np.array_equal(features, MeanColors().embed(pictures(3), normalize=False))


def test_a_face_set_is_a_set_of_encoded_images() -> None:
    faces = MemoryFaces(3, 2, seed=0)
    assert np.array_equal(embed_images(PixelEmbedder(), faces), PixelEmbedder().embed(faces.crops[..., ::-1]))


def test_decoding_runs_only_a_few_batches_ahead() -> None:
    lock, decoded, decoded_before_batch = threading.Lock(), [0], list[int]()

    class Watcher(MeanColors):
        def forward(self, crops: NDArray[np.uint8]) -> Float32Array:
            decoded_before_batch.append(decoded[0])
            return super().forward(crops)

    def read(index: int) -> bytes:
        with lock:
            decoded[0] += 1
        return encode(index)

    embed_images(Watcher(), EncodedPictures(400, read), flip=False, batch_size=4)
    assert all(count <= 4 * (batch + 4) for batch, count in enumerate(decoded_before_batch))


def broken_at(broken: int) -> Callable[[int], bytes]:
    return lambda index: b"no image" if index == broken else encode(index)


def test_an_undecodable_image_is_named() -> None:
    with pytest.raises(DataError, match="picture 7 does not decode"):
        embed_images(MeanColors(), EncodedPictures(9, broken_at(7)), batch_size=2)


def test_a_model_that_gives_zeros_is_reported() -> None:
    class Dead(MeanColors):
        def forward(self, crops: NDArray[np.uint8]) -> Float32Array:
            return np.zeros((len(crops), 6), np.float32)

    with pytest.raises(DataError, match="mean colors of picture 0 is zero or not finite, as are 2 others of the 3"):
        embed_images(Dead(), EncodedPictures(3))


def test_only_what_is_missing_is_embedded() -> None:
    batches = list(embed_batches(MeanColors(), EncodedPictures(23), batch_size=5, start=10))
    assert [len(batch) for batch in batches] == [5, 5, 3]
    expected = MeanColors().embed(pictures(23)[10:], normalize=False)
    assert np.array_equal(np.concatenate(batches), expected)


def test_an_undecodable_image_after_the_start_is_named() -> None:
    with pytest.raises(DataError, match="picture 17 does not decode"):
        list(embed_batches(MeanColors(), EncodedPictures(23, broken_at(17)), batch_size=5, start=10))


def test_an_image_without_an_embedding_is_named() -> None:
    class Faulty(MeanColors):
        def forward(self, crops: NDArray[np.uint8]) -> Float32Array:
            rows = super().forward(crops)
            rows[(crops[:, 0, 0, 0] == 10 + 13)] = np.nan
            return rows

    with pytest.raises(DataError, match="mean colors of picture 13 is zero or not finite, as are 0 others of the 5"):
        list(embed_batches(Faulty(), EncodedPictures(23), flip=False, batch_size=5))
