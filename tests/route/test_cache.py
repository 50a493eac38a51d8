from __future__ import annotations

import errno
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from facekd.data.image_set import DatasetFingerprint
from facekd.data.loading.augmentation import Flip
from facekd.data.loading.crops import Crop
from facekd.data.loading.loader import Batch, Loader
from facekd.data.opening import open_faces
from facekd.errors import RouteError, SetupError
from facekd.route.cache import CachedTeacher, checksum_file, is_intact, read_slot, slot_path, write_slot
from facekd.route.teacher import LiveTeacher
from facekd.types import ModelOutput

CPU = torch.device("cpu")


class StubTeacher(LiveTeacher):
    """Outputs the mean color of the left and of the right half of an image, and a constant."""

    size, dimension = 32, 3

    def __init__(self, value: float = 1.0, fail_at: int = -1) -> None:
        self.value = value
        self.fail_at = fail_at
        self.calls = 0

    def forward(self, batch: Batch) -> ModelOutput:
        self.calls += 1
        if self.calls == self.fail_at:
            raise OSError(errno.ENOSPC, "No space left on device")
        halves = batch.images.float().view(-1, 32, 2, 16, 3).mean(dim=(1, 3, 4))
        return ModelOutput(torch.cat([halves, torch.full((len(halves), 1), self.value)], dim=1))


def loader(faces: Path, augmentation: Flip, batch: int = 8) -> Loader:
    return Loader(open_faces(faces), 32, batch_size=batch, seed=0, augmentation=augmentation)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("batch", [8, 7])  # 48 images: with 7 the last batch is incomplete
def test_a_slot_holds_every_image_in_its_version(small_faces: Path, tmp_path: Path, dtype: Any, batch: int) -> None:
    faces, slots = open_faces(small_faces), {}
    for slot in (0, 1):
        write_slot(StubTeacher(), loader(small_faces, Flip(), batch), slot, tmp_path / f"{slot}.npy", dtype, CPU)
        slots[slot] = read_slot(tmp_path / f"{slot}.npy")
        assert (slots[slot].shape, slots[slot].dtype) == ((48, 3), np.dtype(dtype))
        assert isinstance(slots[slot], np.memmap)
    truth = np.stack([faces.pixels(i).astype(np.float64).reshape(32, 2, 16, 3).mean(axis=(0, 2, 3)) for i in range(48)])
    np.testing.assert_allclose(slots[0][:, :2], truth, rtol=1e-3)
    np.testing.assert_allclose(slots[1][:, :2], truth[:, ::-1], rtol=1e-3)
    assert np.abs(truth - truth[:, ::-1]).max() > 1  # mixing the versions up would show


def test_a_cached_teacher_opens_each_slot_once_and_keeps_rows_apart(tmp_path: Path) -> None:
    opened_slots: list[int] = []

    def slot_file(slot: int) -> Path:
        opened_slots.append(slot)
        np.save(tmp_path / f"{slot}.npy", 100 * slot + np.arange(12, dtype=np.float32).reshape(6, 2))
        return tmp_path / f"{slot}.npy"

    teacher = CachedTeacher(2, slot_file)
    index, slot = torch.tensor([5, 0, 3, 0]), torch.tensor([1, 0, 0, 4])
    batch = Batch(torch.zeros(4, 32, 32, 3, dtype=torch.uint8), index, index, slot)
    for _ in range(3):
        output = teacher.forward(batch)
        assert output.outputs.tolist() == [[110, 111], [0, 1], [6, 7], [400, 401]]
        assert (output.outputs.dtype, output.feature_maps) == (torch.float32, ())
    assert opened_slots == [0, 1, 4]
    assert teacher.example_output().outputs.shape == (2, 2)


def test_a_file_is_named_by_all_that_its_content_depends_on() -> None:
    names = {
        slot_path(Path("cache"), anchor * 64, DatasetFingerprint(data * 64, 8, 48), augmentation, slot, dtype)
        for anchor in "ab" for data in "cd" for dtype in ("float16", "float32") for slot in (0, 1, 1000)
        for augmentation in (Flip(1).key, Crop(0).key, Crop(1).key, Crop(0, 2).key)
    }
    assert len(names) == 2 * 2 * 2 * 3 * 4


def test_mirrored_images_are_the_same_whatever_the_seed() -> None:
    assert Flip(0).key == Flip(1).key


@pytest.mark.filterwarnings("ignore:overflow encountered in cast:RuntimeWarning")
@pytest.mark.parametrize(("value", "dtype"), [(1e5, "float16"), (float("nan"), "float32")])
def test_what_the_type_cannot_hold_is_refused(small_faces: Path, tmp_path: Path, value: float, dtype: Any) -> None:
    with pytest.raises(RouteError, match=f"do not fit {dtype}"):
        write_slot(StubTeacher(value), loader(small_faces, Flip()), 0, tmp_path / "cache.npy", dtype, CPU)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_no_cache(small_faces: Path, tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="disk is full"):
        write_slot(StubTeacher(fail_at=3), loader(small_faces, Flip()), 0, tmp_path / "cache.npy", "float16", CPU)
    assert list(tmp_path.iterdir()) == []


def test_a_cut_file_is_refused(small_faces: Path, tmp_path: Path) -> None:
    file = tmp_path / "cache.npy"
    write_slot(StubTeacher(), loader(small_faces, Flip()), 0, file, "float32", CPU)
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(RouteError, match=r"cache\.npy cannot be read .*; delete it, it is made again"):
        read_slot(file)


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"nothing"])
def test_a_file_that_is_no_cache_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "cache.npy").write_bytes(content)
    with pytest.raises(RouteError, match=r"cache\.npy.*delete it"):
        read_slot(tmp_path / "cache.npy")


def test_a_slot_is_compared_with_its_checksum(small_faces: Path, tmp_path: Path) -> None:
    file = tmp_path / "cache.npy"
    assert not is_intact(file)
    write_slot(StubTeacher(), loader(small_faces, Flip()), 0, file, "float32", CPU)
    assert checksum_file(file).read_text() == f"{hashlib.sha256(file.read_bytes()).hexdigest()}  cache.npy\n"
    assert is_intact(file)


@pytest.mark.parametrize("damage", ["shorter", "nan", "no checksum", "empty checksum"])
def test_a_damaged_slot_is_noticed(small_faces: Path, tmp_path: Path, damage: str) -> None:
    file = tmp_path / "cache.npy"
    write_slot(StubTeacher(), loader(small_faces, Flip()), 0, file, "float32", CPU)
    if damage == "shorter":
        np.save(file, np.load(file)[:-1])
    elif damage == "nan":
        np.save(file, np.where(np.load(file) > 100, np.nan, np.load(file)))
    elif damage == "no checksum":
        checksum_file(file).unlink()
    else:
        checksum_file(file).write_text("")
    assert not is_intact(file)
