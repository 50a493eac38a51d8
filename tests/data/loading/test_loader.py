from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from facekd.data import cv2
from facekd.data.face_set import FaceSet
from facekd.data.loading.augmentation import Augmentation, Crop, Flip, ResizedCrop
from facekd.data.loading.loader import Batch, Loader
from facekd.data.loading.unreadable import BadRecords
from facekd.data.opening import open_faces
from facekd.data.synthetic.dataset import write_faces
from facekd.data.transforms import crop_of
from facekd.errors import DataError

KINDS = {"plain": Augmentation(3), "flip": Flip(3), "crop": Crop(3), "resized-crop": ResizedCrop(3)}


@pytest.fixture(scope="session")
def faces(small_faces: Path) -> FaceSet:
    return open_faces(small_faces)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Augmentation:
    return KINDS[request.param]


def fields(batch: Batch) -> tuple[Tensor, ...]:
    return batch.images, batch.labels, batch.index, batch.slot


def same(one: list[Batch], other: list[Batch]) -> bool:
    pairs = [(x, y) for a, b in zip(one, other, strict=True) for x, y in zip(fields(a), fields(b), strict=True)]
    return all(x.dtype == y.dtype and torch.equal(x, y) for x, y in pairs)


def shown(batches: list[Batch]) -> dict[tuple[int, int], bytes]:
    """The picture under every (image, slot)."""
    rows = [row for b in batches for row in zip(b.index.tolist(), b.slot.tolist(), b.images.numpy(), strict=True)]
    pictures = {(image, slot): picture.tobytes() for image, slot, picture in rows}
    assert len(pictures) == len(rows)
    return pictures


def order_of(batches: list[Batch]) -> list[int]:
    return [int(i) for batch in batches for i in batch.index]


def test_an_epoch_sees_every_image_once(faces: FaceSet) -> None:
    order = order_of(list(Loader(faces, 32, 8, 3, Flip()).epoch(5)))
    assert sorted(order) == list(range(48)) != order


def test_the_order_depends_on_seed_and_epoch(faces: FaceSet) -> None:
    loaders = [Loader(faces, 32, 8, seed, Flip()) for seed in (0, 1)]
    assert len({tuple(order_of(list(loader.epoch(epoch)))) for loader in loaders for epoch in (0, 1)}) == 4


def test_batches_depend_on_nothing_else(faces: FaceSet, kind: Augmentation) -> None:
    loader = Loader(faces, 32, 8, 4, kind)
    torch.manual_seed(1)
    np.random.seed(1)
    first = list(loader.epoch(2))
    torch.manual_seed(2)
    list(loader.epoch(0))
    assert same(first, list(loader.epoch(2)))
    assert same(first, list(Loader(faces, 32, 8, 4, kind).epoch(2)))


def test_runs_of_other_seeds_see_the_same_versions_in_another_order(faces: FaceSet, kind: Augmentation) -> None:
    one, other = (list(Loader(faces, 32, 8, seed, kind).epoch(1)) for seed in (0, 1))
    assert order_of(one) != order_of(other)
    assert shown(one) == shown(other)


def test_the_batch_size_does_not_change_what_is_shown(faces: FaceSet, kind: Augmentation) -> None:
    assert shown(list(Loader(faces, 32, 8, 0, kind).epoch(1))) == shown(list(Loader(faces, 32, 12, 0, kind).epoch(1)))


def test_batches_hold_the_crops_of_their_versions(faces: FaceSet) -> None:
    numbers = Flip(7).epoch(1, len(faces)).numbers
    seen = set()
    for batch in Loader(faces, 32, 5, 0, Flip(7)).epoch(1):
        assert (batch.images.dtype, batch.images.shape) == (torch.uint8, (5, 32, 32, 3))
        for row, image in enumerate(batch.index.tolist()):
            mirrored, crop = bool(numbers[image, 2] < 0.5), crop_of(faces.read(image), 32, "")
            np.testing.assert_array_equal(batch.images[row].numpy(), crop[:, ::-1] if mirrored else crop)
            assert (int(batch.slot[row]), int(batch.labels[row])) == (mirrored, image // 6)
            seen.add(mirrored)
    assert seen == {False, True}


@pytest.mark.parametrize("memory", [0, 1])
def test_a_picture_is_that_of_its_own_image_and_version(faces: FaceSet, kind: Augmentation, memory: float) -> None:
    numbers = kind.epoch(2, 48).numbers
    for batch in Loader(faces, 24, 8, 0, kind, memory).epoch(2):
        for image, picture in zip(batch.index.tolist(), batch.images, strict=True):
            loaded = kind.load(faces.pixels(image), 24, numbers[image], "")
            alone = kind.render(torch.from_numpy(loaded)[None], numbers[image : image + 1])
            assert torch.equal(picture, alone[0])


def test_the_incomplete_last_batch_is_dropped(faces: FaceSet) -> None:
    loader = Loader(faces, 32, 5, 0, Flip())
    assert loader.steps == 9
    assert [len(batch.index) for batch in loader.epoch(0)] == [5] * 9


@pytest.mark.parametrize("size", [32, 48])
def test_streaming_gives_the_batches_of_kept_images(faces: FaceSet, size: int, kind: Augmentation) -> None:
    kept, streamed = Loader(faces, size, 8, 1, kind), Loader(faces, size, 8, 1, kind, memory=0)
    assert same(list(kept.epoch(3)), list(streamed.epoch(3)))
    assert same(list(kept.slot(1)), list(streamed.slot(1)))


def test_kept_images_are_read_once(faces: FaceSet, monkeypatch: pytest.MonkeyPatch) -> None:
    loader, read = Loader(faces, 32, 8, 1, Crop()), list[int]()
    monkeypatch.setattr(type(faces), "pixels", lambda self, index: read.append(index))
    list(loader.epoch(0))
    list(loader.slot(4))
    assert read == []


@pytest.mark.parametrize("memory", [0, 1])
@pytest.mark.parametrize("first", [0, 1, 4, 5, 6])
def test_a_resumed_epoch_is_the_tail_of_the_whole(
    faces: FaceSet, first: int, memory: float, kind: Augmentation
) -> None:
    loader = Loader(faces, 32, 8, 1, kind, memory)
    assert same(list(loader.epoch(2, first)), list(loader.epoch(2))[first:])


@pytest.mark.parametrize("memory", [0, 1])
def test_a_slot_covers_every_image_in_order_and_drops_none(faces: FaceSet, memory: float) -> None:
    batches = list(Loader(faces, 32, 7, 0, Flip(), memory).slot(1))
    assert [len(batch.index) for batch in batches] == [7] * 6 + [6]
    assert order_of(batches) == list(range(48))
    crops = np.stack([crop_of(faces.read(i), 32, "") for i in range(48)])
    np.testing.assert_array_equal(np.concatenate([b.images.numpy() for b in batches]), crops[:, :, ::-1])
    assert torch.cat([b.labels for b in batches]).tolist() == faces.labels.tolist()


@pytest.mark.parametrize("memory", [0, 1])
def test_what_an_epoch_shows_of_an_image_lies_in_its_slot(
    faces: FaceSet, kind: Augmentation, memory: float
) -> None:
    loader = Loader(faces, 32, 8, 5, kind, memory)
    for epoch in (0, 3):
        pictures = shown(list(loader.epoch(epoch)))
        kept = [batch for slot in {slot for _, slot in pictures} for batch in loader.slot(slot)]
        assert pictures.items() <= shown(kept).items()


@pytest.mark.parametrize("kind", [Crop(), ResizedCrop()], ids=lambda a: a.key)
def test_slot_k_of_random_crops_is_epoch_k(faces: FaceSet, kind: Augmentation) -> None:
    loader = Loader(faces, 32, 8, 5, kind)
    epochs = [shown(list(loader.epoch(k))) for k in range(3)]
    assert [shown(list(loader.slot(k))) for k in range(3)] == epochs
    assert len({picture for epoch in epochs for picture in epoch.values()}) > 140  # of 144: they do differ


def test_a_batch_moved_keeps_what_it_holds(faces: FaceSet) -> None:
    cpu = torch.device("cpu")
    batch = next(Loader(faces, 32, 8, 0, Crop(), device=cpu).epoch(0))
    assert same([batch.to(cpu)], [batch])
    away = batch.to(torch.device("meta"))
    assert [v.device.type for v in fields(away)] == ["meta", "meta", "cpu", "cpu"]  # caches lie on the CPU


def test_a_set_smaller_than_a_batch_is_refused(faces: FaceSet) -> None:
    with pytest.raises(DataError, match=r"48 images, fewer than one batch of 49.*schedule\.batch"):
        Loader(faces, 32, 49, 0, Flip())


@pytest.mark.parametrize("memory", [0, 1])
def test_an_unreadable_image_is_named(tmp_path: Path, memory: float) -> None:
    write_faces(tmp_path, range(2), 2, size=16)
    (tmp_path / "id_00001" / "0000.jpg").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"id_00001/0000\.jpg"):
        list(Loader(open_faces(tmp_path), 32, 2, 0, Flip(), memory).epoch(0))


@pytest.mark.parametrize("memory", [0, 1])
def test_an_image_that_is_not_square_is_named(tmp_path: Path, memory: float) -> None:
    write_faces(tmp_path, range(2), 2, size=16)
    cv2.imwrite(str(tmp_path / "id_00001" / "0000.jpg"), np.zeros((20, 30, 3), np.uint8))
    faces = open_faces(tmp_path)
    with pytest.raises(DataError, match=r"id_00001/0000\.jpg is 30x20, square images are needed"):
        list(Loader(faces, 32, 2, 0, Flip(), memory).epoch(0))
    assert len(list(Loader(faces, 32, 2, 0, ResizedCrop(), memory).epoch(0))) == 2


@pytest.mark.parametrize("memory", [0, 1])
def test_the_ranks_parts_joined_are_the_batches_and_slots_of_one_process(faces: FaceSet, memory: float) -> None:
    alone = Loader(faces, 32, 12, 3, Crop(3), memory)
    ranks = [Loader(faces, 32, 12, 3, Crop(3), memory, place=(rank, 3)) for rank in range(3)]

    def joined(given: list[list[Batch]]) -> list[Batch]:
        steps = zip(*given, strict=True)
        return [Batch(*map(torch.cat, zip(*map(fields, parts), strict=True))) for parts in steps]

    assert same(joined([list(loader.run(1, 5)) for loader in ranks]), list(alone.run(1, 5)))
    rows = [torch.cat(field) for field in zip(*(fields(b) for loader in ranks for b in loader.slot(2)), strict=True)]
    assert same([Batch(*rows)], [Batch(*map(torch.cat, zip(*map(fields, alone.slot(2)), strict=True)))])


def spoiled(folder: Path, images: dict[int, bytes]) -> FaceSet:
    """48 crops with other bytes in place of some."""
    write_faces(folder, range(8), 6, size=32)
    faces = open_faces(folder)
    for index, data in images.items():
        (folder / faces.name(index)).write_bytes(data)
    return faces


@pytest.mark.parametrize("memory", [0, 1])
def test_the_next_image_of_the_batch_stands_in_for_a_bad_one(
    tmp_path: Path, kind: Augmentation, memory: float
) -> None:
    broken = {3: b"", 17: b"no picture"}
    faces, bad = spoiled(tmp_path / "set", broken), BadRecords(tmp_path / "bad.txt", 2)
    whole = Loader(spoiled(tmp_path / "whole", {}), 32, 8, 1, kind)
    loader = Loader(faces, 32, 8, 1, kind, memory, bad=bad)
    for epoch in range(2):
        for mended, unbroken in zip(loader.epoch(epoch), whole.epoch(epoch), strict=True):
            rows = list(range(8))
            for row in rows[:]:
                while int(unbroken.index[rows[row]]) in broken:
                    rows[row] = (rows[row] + 1) % 8
            assert same([mended], [Batch(*(field[rows] for field in fields(unbroken)))])
    listed = [line.split(":")[0] for line in bad.file.read_text().splitlines()]
    assert sorted(listed) == sorted(map(faces.where, broken))


def test_an_image_that_is_not_square_is_listed_too(tmp_path: Path) -> None:
    wide = cv2.imencode(".png", np.zeros((3, 5, 3), np.uint8))[1].tobytes()
    faces, bad = spoiled(tmp_path / "set", {40: wide}), BadRecords(tmp_path / "bad.txt", 1)
    list(Loader(faces, 32, 8, 1, Flip(), bad=bad).epoch(0))
    assert bad.file.read_text().startswith(f"{faces.where(40)}: is 5x3, square images are needed")


@pytest.mark.parametrize("memory", [0, 1])
def test_more_bad_images_than_allowed_end_it(tmp_path: Path, memory: float) -> None:
    faces, bad = spoiled(tmp_path / "set", dict.fromkeys((1, 2, 3), b"x")), BadRecords(tmp_path / "bad.txt", 2)
    with pytest.raises(DataError, match=r"3 images .*bad_records=2.*bad\.txt"):
        list(Loader(faces, 32, 8, 1, Flip(), memory, bad=bad).epoch(0))


def test_balanced_batches_hold_so_many_images_of_each_person(faces: FaceSet) -> None:
    loader = Loader(faces, 32, 12, 1, Flip(), each=3)
    epoch = list(loader.epoch(0))
    assert len(epoch) == loader.steps == 4
    for batch in epoch:
        assert sorted(torch.bincount(batch.labels).tolist())[-4:] == [3, 3, 3, 3]
    assert same(epoch, list(loader.epoch(0)))
    assert not same(epoch, list(loader.epoch(1)))
    assert same(epoch[2:], list(loader.epoch(0, 2)))


def test_balanced_batches_of_too_many_people_are_refused(faces: FaceSet) -> None:
    with pytest.raises(DataError, match=r"8 people, a batch of 18 with 2 images each needs 9"):
        Loader(faces, 32, 18, 1, Flip(), each=2)
