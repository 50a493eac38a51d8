from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from facekd.data import cv2
from facekd.data.face_set import FaceSet
from facekd.data.loading.augmentation import Augmentation, Flip, NoAugmentation
from facekd.data.loading.crops import Crop, ResizedCrop
from facekd.data.loading.loader import Batch, Loader
from facekd.data.loading.unreadable import UnreadableImages
from facekd.data.opening import open_faces
from facekd.data.synthetic.dataset import write_faces
from facekd.data.transforms import decode_crop
from facekd.errors import DataError

AUGMENTATIONS = {"plain": NoAugmentation(3), "flip": Flip(3), "crop": Crop(3), "resized-crop": ResizedCrop(3)}
STREAMED_AND_DECODED = pytest.mark.parametrize("cache_gib", [0, 1])


@pytest.fixture(scope="session")
def faces(small_faces: Path) -> FaceSet:
    """48 images: 8 identities with 6 images each."""
    return open_faces(small_faces)


@pytest.fixture(params=AUGMENTATIONS)
def augmentation(request: pytest.FixtureRequest) -> Augmentation:
    return AUGMENTATIONS[request.param]


def make_loader(images: FaceSet, augmentation: Augmentation, size: int = 32, *, batch_size: int = 8, seed: int = 0,
                cache_gib: float = 2, **options: Any) -> Loader:
    return Loader(images, size, batch_size=batch_size, seed=seed, augmentation=augmentation,
                  decoded_cache_gib=cache_gib, **options)


def fields(batch: Batch) -> tuple[Tensor, ...]:
    return batch.images, batch.labels, batch.index, batch.cache_slot


def same(one: list[Batch], other: list[Batch]) -> bool:
    pairs = [(x, y) for a, b in zip(one, other, strict=True) for x, y in zip(fields(a), fields(b), strict=True)]
    return all(x.dtype == y.dtype and torch.equal(x, y) for x, y in pairs)


def concatenated(batches: list[Batch]) -> Batch:
    return Batch(*map(torch.cat, zip(*map(fields, batches), strict=True)))


def shown(batches: list[Batch]) -> dict[tuple[int, int], bytes]:
    """Return the picture under every (image, cache slot)."""
    rows = [row for b in batches for row in zip(b.index.tolist(), b.cache_slot.tolist(), b.images.numpy(), strict=True)]
    pictures = {(image, slot): picture.tobytes() for image, slot, picture in rows}
    assert len(pictures) == len(rows)
    return pictures


def order_of(batches: list[Batch]) -> list[int]:
    return [int(i) for batch in batches for i in batch.index]


def test_an_epoch_sees_every_image_once(faces: FaceSet) -> None:
    order = order_of(list(make_loader(faces, Flip(), seed=3).iter_epoch(5)))
    assert sorted(order) == list(range(48)) != order


def test_the_order_depends_on_seed_and_epoch(faces: FaceSet) -> None:
    loaders = [make_loader(faces, Flip(), seed=seed) for seed in (0, 1)]
    assert len({tuple(order_of(list(loader.iter_epoch(epoch)))) for loader in loaders for epoch in (0, 1)}) == 4


def test_batches_depend_on_nothing_else(faces: FaceSet, augmentation: Augmentation) -> None:
    loader = make_loader(faces, augmentation, seed=4)
    torch.manual_seed(1)
    np.random.seed(1)
    first = list(loader.iter_epoch(2))
    torch.manual_seed(2)
    list(loader.iter_epoch(0))
    assert same(first, list(loader.iter_epoch(2)))
    assert same(first, list(make_loader(faces, augmentation, seed=4).iter_epoch(2)))


def test_runs_of_other_seeds_see_the_same_versions_in_another_order(
    faces: FaceSet, augmentation: Augmentation
) -> None:
    one, other = (list(make_loader(faces, augmentation, seed=seed).iter_epoch(1)) for seed in (0, 1))
    assert order_of(one) != order_of(other)
    assert shown(one) == shown(other)


def test_the_batch_size_does_not_change_what_is_shown(faces: FaceSet, augmentation: Augmentation) -> None:
    small, large = (list(make_loader(faces, augmentation, batch_size=size).iter_epoch(1)) for size in (8, 12))
    assert shown(small) == shown(large)


def test_batches_hold_the_crops_of_their_versions(faces: FaceSet) -> None:
    params = Flip(7).epoch_params(1, len(faces)).params
    versions = set()
    for batch in make_loader(faces, Flip(7), batch_size=5).iter_epoch(1):
        assert (batch.images.dtype, batch.images.shape) == (torch.uint8, (5, 32, 32, 3))
        for row, image in enumerate(batch.index.tolist()):
            mirrored = bool(params[image, 2] < 0.5)
            crop = decode_crop(faces.read(image), 32, "")
            np.testing.assert_array_equal(batch.images[row].numpy(), crop[:, ::-1] if mirrored else crop)
            assert (int(batch.cache_slot[row]), int(batch.labels[row])) == (mirrored, image // 6)
            versions.add(mirrored)
    assert versions == {False, True}


@STREAMED_AND_DECODED
def test_a_picture_is_that_of_its_own_image_and_version(
    faces: FaceSet, augmentation: Augmentation, cache_gib: float
) -> None:
    params = augmentation.epoch_params(2, 48).params
    for batch in make_loader(faces, augmentation, 24, cache_gib=cache_gib).iter_epoch(2):
        for image, picture in zip(batch.index.tolist(), batch.images, strict=True):
            prepared = augmentation.prepare_image(faces.pixels(image), 24, params[image], "")
            alone = augmentation.augment_batch(torch.from_numpy(prepared)[None], params[image : image + 1])
            assert torch.equal(picture, alone[0])


def test_the_incomplete_last_batch_is_dropped(faces: FaceSet) -> None:
    loader = make_loader(faces, Flip(), batch_size=5)
    assert loader.steps_per_epoch == 9
    assert [len(batch.index) for batch in loader.iter_epoch(0)] == [5] * 9


@pytest.mark.parametrize("size", [32, 48])
def test_streaming_gives_the_batches_of_decoded_images(faces: FaceSet, size: int, augmentation: Augmentation) -> None:
    decoded = make_loader(faces, augmentation, size, seed=1)
    streamed = make_loader(faces, augmentation, size, seed=1, cache_gib=0)
    assert same(list(decoded.iter_epoch(3)), list(streamed.iter_epoch(3)))
    assert same(list(decoded.iter_slot(1)), list(streamed.iter_slot(1)))


def test_decoded_images_are_read_once(faces: FaceSet, monkeypatch: pytest.MonkeyPatch) -> None:
    loader = make_loader(faces, Crop(), seed=1)
    reads: list[int] = []
    monkeypatch.setattr(type(faces), "pixels", lambda self, index: reads.append(index))
    list(loader.iter_epoch(0))
    list(loader.iter_slot(4))
    assert reads == []


@STREAMED_AND_DECODED
@pytest.mark.parametrize("first", [0, 1, 4, 5, 6])
def test_a_resumed_epoch_is_the_tail_of_the_whole(
    faces: FaceSet, first: int, cache_gib: float, augmentation: Augmentation
) -> None:
    loader = make_loader(faces, augmentation, seed=1, cache_gib=cache_gib)
    assert same(list(loader.iter_epoch(2, first)), list(loader.iter_epoch(2))[first:])


@pytest.mark.parametrize(("first", "count"), [(0, 0), (0, 6), (5, 9), (6, 6), (13, 2)])
def test_steps_are_the_batches_of_consecutive_epochs(faces: FaceSet, first: int, count: int) -> None:
    loader = make_loader(faces, Flip(), seed=1)
    batches = [batch for epoch in range(3) for batch in loader.iter_epoch(epoch)]
    assert same(list(loader.iter_steps(first, count)), batches[first : first + count])


@STREAMED_AND_DECODED
def test_a_slot_covers_every_image_in_order_and_drops_none(faces: FaceSet, cache_gib: float) -> None:
    batches = list(make_loader(faces, Flip(), batch_size=7, cache_gib=cache_gib).iter_slot(1))
    assert [len(batch.index) for batch in batches] == [7] * 6 + [6]
    assert order_of(batches) == list(range(48))
    crops = np.stack([decode_crop(faces.read(i), 32, "") for i in range(48)])
    np.testing.assert_array_equal(np.concatenate([b.images.numpy() for b in batches]), crops[:, :, ::-1])
    assert torch.cat([b.labels for b in batches]).tolist() == faces.labels.tolist()


@STREAMED_AND_DECODED
def test_what_an_epoch_shows_of_an_image_is_in_its_slot(
    faces: FaceSet, augmentation: Augmentation, cache_gib: float
) -> None:
    loader = make_loader(faces, augmentation, seed=5, cache_gib=cache_gib)
    for epoch in (0, 3):
        pictures = shown(list(loader.iter_epoch(epoch)))
        slot_batches = [batch for slot in {slot for _, slot in pictures} for batch in loader.iter_slot(slot)]
        assert pictures.items() <= shown(slot_batches).items()


@pytest.mark.parametrize("random_crop", [Crop(), ResizedCrop()], ids=lambda a: a.key)
def test_slot_k_of_random_crops_is_epoch_k(faces: FaceSet, random_crop: Augmentation) -> None:
    loader = make_loader(faces, random_crop, seed=5)
    epochs = [shown(list(loader.iter_epoch(k))) for k in range(3)]
    assert [shown(list(loader.iter_slot(k))) for k in range(3)] == epochs
    assert len({picture for epoch in epochs for picture in epoch.values()}) > 140  # of 144: they do differ


def test_a_batch_moved_keeps_what_it_holds(faces: FaceSet) -> None:
    cpu = torch.device("cpu")
    batch = next(make_loader(faces, Crop(), device=cpu).iter_epoch(0))
    assert same([batch.to(cpu)], [batch])
    moved = batch.to(torch.device("meta"))
    assert [v.device.type for v in fields(moved)] == ["meta", "meta", "cpu", "cpu"]  # the caches are on the CPU


def test_the_chunks_of_a_batch_are_consecutive_and_equally_long(faces: FaceSet) -> None:
    batch = next(make_loader(faces, Crop(), batch_size=12).iter_epoch(0))
    chunks = batch.chunks(3)
    assert [len(chunk.index) for chunk in chunks] == [4, 4, 4]
    assert same([concatenated(chunks)], [batch])


def test_a_set_smaller_than_a_batch_is_refused(faces: FaceSet) -> None:
    with pytest.raises(DataError, match=r"48 images, fewer than one batch of 49.*training\.batch_size"):
        make_loader(faces, Flip(), batch_size=49)


@STREAMED_AND_DECODED
def test_an_unreadable_image_is_named(tmp_path: Path, cache_gib: float) -> None:
    write_faces(tmp_path, range(2), 2, size=16)
    (tmp_path / "id_00001" / "0000.jpg").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"id_00001/0000\.jpg"):
        list(make_loader(open_faces(tmp_path), Flip(), batch_size=2, cache_gib=cache_gib).iter_epoch(0))


@STREAMED_AND_DECODED
def test_an_image_that_is_not_square_is_named(tmp_path: Path, cache_gib: float) -> None:
    write_faces(tmp_path, range(2), 2, size=16)
    cv2.imwrite(str(tmp_path / "id_00001" / "0000.jpg"), np.zeros((20, 30, 3), np.uint8))
    faces = open_faces(tmp_path)
    with pytest.raises(DataError, match=r"id_00001/0000\.jpg is 30x20, square images are needed"):
        list(make_loader(faces, Flip(), batch_size=2, cache_gib=cache_gib).iter_epoch(0))
    assert len(list(make_loader(faces, ResizedCrop(), batch_size=2, cache_gib=cache_gib).iter_epoch(0))) == 2


@STREAMED_AND_DECODED
def test_the_shards_of_all_ranks_joined_are_the_batches_and_slots_of_one_process(
    faces: FaceSet, cache_gib: float
) -> None:
    alone = make_loader(faces, Crop(3), batch_size=12, seed=3, cache_gib=cache_gib)
    ranks = [make_loader(faces, Crop(3), batch_size=12, seed=3, cache_gib=cache_gib, rank=rank, world_size=3)
             for rank in range(3)]
    steps = zip(*(loader.iter_steps(1, 5) for loader in ranks), strict=True)
    assert same([concatenated(list(shards)) for shards in steps], list(alone.iter_steps(1, 5)))
    shards = [batch for loader in ranks for batch in loader.iter_slot(2)]
    assert same([concatenated(shards)], [concatenated(list(alone.iter_slot(2)))])


@STREAMED_AND_DECODED
def test_the_loader_for_another_rank_gives_its_shard_and_leaves_this_one_alone(
    faces: FaceSet, cache_gib: float
) -> None:
    loader, expected, alone = (
        make_loader(faces, Crop(3), batch_size=12, cache_gib=cache_gib, rank=rank, world_size=world_size)
        for rank, world_size in ((1, 3), (2, 3), (0, 1))
    )
    before = list(loader.iter_epoch(0))
    assert same(list(loader.for_rank(2, 3).iter_epoch(0)), list(expected.iter_epoch(0)))
    assert same(list(loader.for_rank(0, 1).iter_epoch(0)), list(alone.iter_epoch(0)))
    assert same(list(loader.iter_epoch(0)), before)


def faces_with_damage(folder: Path, replaced: dict[int, bytes]) -> FaceSet:
    """Write 48 crops, the files of some of them with other bytes."""
    write_faces(folder, range(8), 6, size=32)
    faces = open_faces(folder)
    for index, data in replaced.items():
        (folder / faces.image_name(index)).write_bytes(data)
    return faces


@STREAMED_AND_DECODED
def test_the_next_image_of_the_batch_replaces_an_unreadable_one(
    tmp_path: Path, augmentation: Augmentation, cache_gib: float
) -> None:
    damaged = {3: b"", 17: b"no picture"}
    faces = faces_with_damage(tmp_path / "set", damaged)
    log = UnreadableImages(tmp_path / "log.txt", 2)
    intact_loader = make_loader(faces_with_damage(tmp_path / "intact", {}), augmentation, seed=1)
    loader = make_loader(faces, augmentation, seed=1, cache_gib=cache_gib, unreadable=log)
    for epoch in range(2):
        for batch, intact in zip(loader.iter_epoch(epoch), intact_loader.iter_epoch(epoch), strict=True):
            rows = list(range(8))
            for row in rows[:]:
                while int(intact.index[rows[row]]) in damaged:
                    rows[row] = (rows[row] + 1) % 8
            assert same([batch], [Batch(*(field[rows] for field in fields(intact)))])
    listed = [line.split(":")[0] for line in log.file.read_text().splitlines()]
    assert sorted(listed) == sorted(map(faces.location, damaged))


def test_an_image_that_is_not_square_is_listed_too(tmp_path: Path) -> None:
    wide = cv2.imencode(".png", np.zeros((3, 5, 3), np.uint8))[1].tobytes()
    faces = faces_with_damage(tmp_path / "set", {40: wide})
    log = UnreadableImages(tmp_path / "log.txt", 1)
    list(make_loader(faces, Flip(), seed=1, unreadable=log).iter_epoch(0))
    assert log.file.read_text().startswith(f"{faces.location(40)}: is 5x3, square images are needed")


@STREAMED_AND_DECODED
def test_more_unreadable_images_than_allowed_end_it(tmp_path: Path, cache_gib: float) -> None:
    faces = faces_with_damage(tmp_path / "set", dict.fromkeys((1, 2, 3), b"x"))
    log = UnreadableImages(tmp_path / "log.txt", 2)
    with pytest.raises(DataError, match=r"3 images .*max_unreadable_images=2.*log\.txt"):
        list(make_loader(faces, Flip(), seed=1, cache_gib=cache_gib, unreadable=log).iter_epoch(0))


def test_balanced_batches_hold_so_many_images_of_each_class(faces: FaceSet) -> None:
    loader = make_loader(faces, Flip(), batch_size=12, seed=1, samples_per_class=3)
    epoch = list(loader.iter_epoch(0))
    assert len(epoch) == loader.steps_per_epoch == 4
    for batch in epoch:
        assert sorted(torch.bincount(batch.labels).tolist())[-4:] == [3, 3, 3, 3]
    assert same(epoch, list(loader.iter_epoch(0)))
    assert not same(epoch, list(loader.iter_epoch(1)))
    assert same(epoch[2:], list(loader.iter_epoch(0, 2)))


def test_balanced_batches_of_too_many_classes_are_refused(faces: FaceSet) -> None:
    with pytest.raises(DataError, match=r"8 classes, a batch of 18 with 2 images each needs 9"):
        make_loader(faces, Flip(), batch_size=18, seed=1, samples_per_class=2)
