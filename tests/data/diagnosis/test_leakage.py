from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from facekd.data import cv2
from facekd.data.diagnosis.leakage import refuse_overlap
from facekd.data.face_set import FaceSet
from facekd.data.opening import open_faces, open_pairs
from facekd.data.pairs.pair_set import PairSet, build_pair_set
from facekd.data.synthetic.dataset import write_faces
from facekd.errors import DataError


def pairs_of(folder: Path, one: str, other: str) -> PairSet:
    """Return a genuine pair of the first person, and an impostor pair of both."""
    first, second, third = folder / one / "0000.jpg", folder / one / "0001.jpg", folder / other / "0000.jpg"
    return build_pair_set(folder / "list.csv", [first, first], [second, third], [True, False], [1, 2])


def accepts(faces: FaceSet, indices: Sequence[int], pairs: PairSet, size: int) -> bool:
    """Return whether `refuse_overlap` accepts calibration faces."""
    try:
        refuse_overlap(faces, indices, pairs, size)
    except DataError:
        return False
    return True


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four people with two images each."""
    write_faces(tmp_path / "all", range(4), 2, size=32)
    return tmp_path / "all"


def copy_people(folder: Path, names: list[str], to: str) -> Path:
    """Copy the people of a folder under new names; an empty name leaves a person out."""
    for old, new in zip(sorted(p.name for p in folder.iterdir()), names, strict=False):
        if new:
            shutil.copytree(folder / old, folder.parent / to / new)
    return folder.parent / to


def test_other_people_are_accepted(folder: Path) -> None:
    train = copy_people(folder, ["ann", "bo", "", ""], "train")
    test = copy_people(folder, ["", "", "cy", "di"], "test")
    assert accepts(open_faces(train), [0, 1, 2, 3], pairs_of(test, "cy", "di"), 32)


def test_an_image_in_another_container_is_found(folder: Path) -> None:
    train = copy_people(folder, ["ann", "bo", "", ""], "train")
    test = copy_people(folder, ["cy", "", "di", ""], "test")
    image = cv2.imread(str(test / "cy" / "0001.jpg"))
    assert image is not None
    data = cv2.imencode(".png", np.asarray(image))[1].tobytes()
    (test / "cy" / "0001.jpg").write_bytes(data)
    fourth = sorted(folder.iterdir())[3]
    (test / "cy" / "0000.jpg").write_bytes((fourth / "0000.jpg").read_bytes())
    with pytest.raises(DataError, match=r"train/ann/0001\.jpg is also in the test pairs .*test/cy/0001\.jpg"):
        refuse_overlap(open_faces(train), [0, 1, 2, 3], pairs_of(test, "cy", "di"), 32)


def test_an_image_that_is_not_used_is_accepted(folder: Path) -> None:
    train = copy_people(folder, ["ann", "bo", "", ""], "train")
    test = copy_people(folder, ["cy", "", "di", ""], "test")
    assert accepts(open_faces(train), [2, 3], pairs_of(test, "cy", "di"), 32)


def test_a_person_under_one_name_is_refused(folder: Path) -> None:
    train = copy_people(folder, ["cy", "di", "", ""], "train")
    test = copy_people(folder, ["", "", "cy", "di"], "test")
    with pytest.raises(DataError, match=r"cy; di of the calibration faces .* are also in the test pairs"):
        refuse_overlap(open_faces(train), [0, 1, 2, 3], pairs_of(test, "cy", "di"), 32)


def test_numbers_of_another_set_are_accepted(folder: Path) -> None:
    train = copy_people(folder, ["001", "002", "", ""], "train")
    test = copy_people(folder, ["", "", "001", "002"], "test")
    assert accepts(open_faces(train), [0, 1, 2, 3], pairs_of(test, "001", "002"), 32)


def test_numbers_of_the_same_set_are_people(folder: Path) -> None:
    test = copy_people(folder, ["001", "002", "003", "004"], "test")
    shutil.copy(test / "003" / "0001.jpg", test / "001" / "0002.jpg")
    with pytest.raises(DataError, match="001 of the calibration faces"):
        refuse_overlap(open_faces(test), [2], pairs_of(test, "001", "002"), 32)


def test_real_training_faces_are_not_in_the_real_pairs(shared: Path) -> None:
    cfp = shared / "faces" / "cfp"
    train = open_faces(shared / "faces" / "train")
    assert accepts(train, list(range(0, len(train), 50)), open_pairs(cfp / "pairs_ff.csv", cfp), 112)
