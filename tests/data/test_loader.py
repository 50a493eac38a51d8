from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from facekd.data.faceset import FaceSet, open_faces
from facekd.data.loader import Batch, Loader, decode_all, schedule
from facekd.data.synthetic import write_faces
from facekd.data.views import crop_of
from facekd.errors import DataError


@pytest.fixture(scope="session")
def faces(small_faces: Path) -> FaceSet:
    return open_faces(small_faces)


def fields(batch: Batch) -> tuple[Tensor, ...]:
    return batch.images, batch.labels, batch.index, batch.flipped


def same(one: list[Batch], other: list[Batch]) -> bool:
    pairs = [(x, y) for a, b in zip(one, other, strict=True) for x, y in zip(fields(a), fields(b), strict=True)]
    return all(x.dtype == y.dtype and torch.equal(x, y) for x, y in pairs)


def test_an_epoch_sees_every_image_once() -> None:
    order, flipped = schedule(1000, 3, 5)
    assert sorted(order.tolist()) == list(range(1000))
    assert 430 < flipped.sum() < 570


def test_the_order_depends_on_seed_and_epoch() -> None:
    orders = [tuple(schedule(50, seed, epoch)[0].tolist()) for seed, epoch in ((0, 0), (0, 1), (1, 0), (1, 1))]
    assert len(set(orders)) == 4


def test_the_order_depends_on_nothing_else(faces: FaceSet) -> None:
    loader = Loader(faces, 32, 8, seed=4)
    torch.manual_seed(1)
    np.random.seed(1)
    first = list(loader.epoch(2))
    torch.manual_seed(2)
    list(loader.epoch(0))
    assert same(first, list(loader.epoch(2)))
    assert same(first, list(Loader(faces, 32, 8, seed=4).epoch(2)))


def test_batches_hold_the_scheduled_crops(faces: FaceSet) -> None:
    order, flipped = schedule(len(faces), 7, 1)
    for number, batch in enumerate(Loader(faces, 32, 5, seed=7).epoch(1)):
        for row in range(5):
            image, mirrored = int(order[5 * number + row]), bool(flipped[5 * number + row])
            crop = crop_of(faces.read(image), 32, "")
            np.testing.assert_array_equal(batch.images[row].numpy(), crop[:, ::-1] if mirrored else crop)
            assert (int(batch.index[row]), bool(batch.flipped[row])) == (image, mirrored)
            assert int(batch.labels[row]) == image // 6


def test_the_incomplete_last_batch_is_dropped(faces: FaceSet) -> None:
    loader = Loader(faces, 32, 5, seed=0)
    assert loader.steps == 9
    assert [len(batch.index) for batch in loader.epoch(0)] == [5] * 9


@pytest.mark.parametrize("size", [32, 48])
def test_streaming_gives_the_batches_of_decoded_mode(faces: FaceSet, size: int) -> None:
    decoded, streamed = Loader(faces, size, 8, 1), Loader(faces, size, 8, 1, memory=0)
    assert same(list(decoded.epoch(3)), list(streamed.epoch(3)))
    assert same(list(decoded.every_view()), list(streamed.every_view()))


@pytest.mark.parametrize("memory", [0, 1])
@pytest.mark.parametrize("first", [0, 1, 4, 5, 6])
def test_a_resumed_epoch_is_the_tail_of_the_whole(faces: FaceSet, first: int, memory: float) -> None:
    loader = Loader(faces, 32, 8, 1, memory)
    assert same(list(loader.epoch(2, first)), list(loader.epoch(2))[first:])


def test_every_view_covers_image_and_mirror_in_order(faces: FaceSet) -> None:
    batches = list(Loader(faces, 32, 7, 0).every_view())
    keys = [(bool(f), int(i)) for b in batches for f, i in zip(b.flipped, b.index, strict=True)]
    assert keys == [(flipped, image) for flipped in (False, True) for image in range(48)]
    images, crops = np.concatenate([b.images.numpy() for b in batches]), decode_all(faces, 32)
    np.testing.assert_array_equal(images, np.concatenate([crops, crops[:, :, ::-1]]))


def test_a_set_smaller_than_a_batch_is_refused(faces: FaceSet) -> None:
    with pytest.raises(DataError, match=r"48 images, fewer than one batch of 49.*schedule\.batch"):
        Loader(faces, 32, 49, 0)


@pytest.mark.parametrize("memory", [0, 1])
def test_an_unreadable_image_is_named(tmp_path: Path, memory: float) -> None:
    write_faces(tmp_path, range(2), 2, size=16)
    (tmp_path / "id_00001" / "0000.jpg").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"id_00001/0000\.jpg"):
        list(Loader(open_faces(tmp_path), 32, 2, 0, memory).epoch(0))
