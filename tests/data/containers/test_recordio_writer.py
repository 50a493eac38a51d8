from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from facekd.data.containers.image_folder import FolderFaces
from facekd.data.containers.recordio_faces import RecordFaces
from facekd.data.containers.recordio_writer import FILES, PackSummary, pack
from facekd.data.face_set import FaceSet
from facekd.data.opening import open_faces
from facekd.errors import DataError, SetupError
from tests.held_lock import held_lock


def noise_image(seed: int, height: int = 16, width: int = 16, extension: str = ".jpg") -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return bytes(cv2.imencode(extension, pixels)[1])


class InMemoryFaces(FaceSet):
    """A face set of given images, labels and names."""

    def __init__(self, images: list[bytes], labels: list[int], names: list[str]) -> None:
        self.path = Path("memory")
        self.class_names = names
        self.labels: NDArray[np.int64] = np.array(labels, np.int64)
        self._images = images

    def read(self, index: int) -> bytes:
        return self._images[index]

    def location(self, index: int) -> str:
        return f"image {index}"


def folder_set(root: Path, **files: bytes) -> FolderFaces:
    """Write an image folder from keyword arguments ``PERSON_FILE``."""
    for name, data in files.items():
        person, file = name.split("_")
        (root / person).mkdir(parents=True, exist_ok=True)
        (root / person / file).with_suffix(".jpg").write_bytes(data)
    return FolderFaces(root)


@pytest.mark.parametrize("name", ["train", "distractors"])
def test_repacking_what_mxnet_wrote_reproduces_it(shared: Path, tmp_path: Path, name: str) -> None:
    original = shared / "faces" / name
    pack(open_faces(original), tmp_path)
    for file in FILES:
        assert (tmp_path / file).read_bytes() == (original / file).read_bytes(), file


def test_folder_and_what_is_packed_from_it_share_a_fingerprint(tmp_path: Path) -> None:
    png = noise_image(2, extension=".png")
    source = folder_set(tmp_path / "in", Zoë_1=noise_image(0), ada_1=noise_image(1), ada_2=png)
    summary = pack(source, tmp_path / "out")
    packed = RecordFaces(tmp_path / "out" / "train.rec")
    assert packed.fingerprint() == source.fingerprint()
    assert packed.class_names == source.class_names
    assert packed.property_size == (16, 16)
    assert summary == PackSummary(tmp_path / "out", images=3, identities=2, size=16, dropped=0)


def test_images_are_grouped_by_identity_in_their_order(tmp_path: Path) -> None:
    images = [noise_image(seed) for seed in range(5)]
    pack(InMemoryFaces(images, [1, 0, 1, 0, 1], ["a", "b"]), tmp_path)
    packed = RecordFaces(tmp_path / "train.rec")
    assert packed.labels.tolist() == [0, 0, 1, 1, 1]
    assert [images.index(packed.read(index)) for index in range(5)] == [1, 3, 0, 2, 4]
    assert packed.identity_ranges.tolist() == [[1, 3], [3, 6]]


def test_identities_without_images_are_dropped_and_counted(tmp_path: Path) -> None:
    summary = pack(InMemoryFaces([noise_image(0), noise_image(1)], [4, 1], ["a", "b", "c", "d", "e"]), tmp_path)
    packed = RecordFaces(tmp_path / "train.rec")
    assert summary.dropped == 3
    assert (packed.labels.tolist(), packed.class_names, packed.property_identities) == ([0, 1], ["b", "e"], 2)


def test_names_that_are_not_unicode_survive(tmp_path: Path) -> None:
    name = b"Jos\xe9".decode("utf-8", "surrogateescape")
    pack(InMemoryFaces([noise_image(0)], [0], [name]), tmp_path)
    assert RecordFaces(tmp_path / "train.rec").class_names == [name]


def test_odd_sizes_are_listed_against_the_most_frequent(tmp_path: Path) -> None:
    images = [noise_image(0, 20, 20), noise_image(1), noise_image(2), noise_image(3), noise_image(4, 16, 18)]
    message = r"(?s)2 of 5 .*most frequent is 16x16.*image 0 is 20x20.*image 4 is 18x16.*align"
    with pytest.raises(DataError, match=message):
        pack(InMemoryFaces(images, [0] * 5, ["a"]), tmp_path)


def test_images_that_are_not_square_are_refused_though_all_alike(tmp_path: Path) -> None:
    images = [noise_image(seed, 16, 12) for seed in range(8)]
    with pytest.raises(DataError, match=r"(?s)8 of 8 .*image 4 is 12x16 and 3 more; run 'facekd align'"):
        pack(InMemoryFaces(images, [0] * 8, ["a"]), tmp_path)


def test_image_that_does_not_decode_is_named(tmp_path: Path) -> None:
    images = [noise_image(0), b"no image", noise_image(1), b""]
    with pytest.raises(DataError, match="2 of 4 images cannot be read, nothing was written: image 1; image 3; see"):
        pack(InMemoryFaces(images, [0] * 4, ["a"]), tmp_path)


def test_refused_set_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(DataError):
        pack(InMemoryFaces([noise_image(0), b"no image"], [0, 0], ["a"]), tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("present", FILES)
def test_existing_set_is_not_overwritten(tmp_path: Path, present: str) -> None:
    (tmp_path / present).write_text("precious")
    with pytest.raises(DataError, match=f"holds {present}"):
        pack(InMemoryFaces([noise_image(0)], [0], ["a"]), tmp_path)
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [(present, "precious")]


@pytest.mark.parametrize("out", ["set", "set/packed", "set/../set"])
def test_a_set_is_not_packed_into_its_own_folder(tmp_path: Path, out: str) -> None:
    source = folder_set(tmp_path / "set", ada_1=noise_image(0))
    with pytest.raises(DataError, match="is the folder of the set itself or lies in it; give a folder apart"):
        pack(source, tmp_path / out)
    assert [path.name for path in (tmp_path / "set").iterdir()] == ["ada"]


def test_a_picture_bomb_is_named(tmp_path: Path) -> None:
    bomb = bytearray(noise_image(1))
    start = bomb.index(b"\xff\xc0") + 5
    bomb[start : start + 4] = (65_500).to_bytes(2, "big") * 2
    with pytest.raises(DataError, match="1 of 2 images cannot be read, nothing was written: image 1; see"):
        pack(InMemoryFaces([noise_image(0), bytes(bomb)], [0, 0], ["a"]), tmp_path)


def test_another_process_at_the_same_set_is_named(tmp_path: Path) -> None:
    with held_lock(tmp_path / "out"), pytest.raises(SetupError, match="is being written by process"):
        pack(InMemoryFaces([noise_image(0)], [0], ["a"]), tmp_path / "out")


def test_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(DataError, match="out is a file"):
        pack(InMemoryFaces([noise_image(0)], [0], ["a"]), tmp_path / "out")


def test_name_with_a_line_break_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"'a\\nb' holds a line break"):
        pack(InMemoryFaces([noise_image(0)], [0], ["a\nb"]), tmp_path)


@pytest.mark.parametrize("renames", range(4))
def test_set_killed_between_renames_does_not_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renames: int
) -> None:
    real_replace = os.replace
    calls: list[Path] = []

    def replace(source: Path, target: Path) -> None:
        if len(calls) == renames:
            raise KeyboardInterrupt
        calls.append(target)
        real_replace(source, target)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(KeyboardInterrupt):
        pack(InMemoryFaces([noise_image(0)], [0], ["a"]), tmp_path)
    with pytest.raises(DataError):
        open_faces(tmp_path)
