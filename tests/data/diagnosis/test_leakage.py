from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from facekd.data import cv2
from facekd.data.diagnosis.leakage import refuse_overlap
from facekd.data.opening import open_faces, open_pairs
from facekd.data.pairs.pair_set import PairSet, paired
from facekd.data.synthetic.dataset import write_faces
from facekd.errors import DataError


def pairs_of(folder: Path, one: str, other: str) -> PairSet:
    """A genuine pair of the first person and an impostor pair with the second."""
    first, second, third = folder / one / "0000.jpg", folder / one / "0001.jpg", folder / other / "0000.jpg"
    return paired(folder / "list.csv", [first, first], [second, third], [True, False], [1, 2])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four people with two images each."""
    write_faces(tmp_path / "all", range(4), 2, size=32)
    return tmp_path / "all"


def apart(folder: Path, names: list[str], to: str) -> Path:
    for old, new in zip(sorted(p.name for p in folder.iterdir()), names, strict=False):
        if new:
            shutil.copytree(folder / old, folder.parent / to / new)
    return folder.parent / to


def test_other_people_pass(folder: Path) -> None:
    train = apart(folder, ["ann", "bo", "", ""], "train")
    test = apart(folder, ["", "", "cy", "di"], "test")
    refuse_overlap(open_faces(train), [0, 1, 2, 3], pairs_of(test, "cy", "di"), 32)


def test_an_image_in_another_container_is_found(folder: Path) -> None:
    train = apart(folder, ["ann", "bo", "", ""], "train")
    test = apart(folder, ["cy", "", "di", ""], "test")
    image = cv2.imread(str(test / "cy" / "0001.jpg"))
    assert image is not None
    data = cv2.imencode(".png", np.asarray(image))[1].tobytes()
    (test / "cy" / "0001.jpg").write_bytes(data)
    (test / "cy" / "0000.jpg").write_bytes((folder / sorted(p.name for p in folder.iterdir())[3] /
                                            "0000.jpg").read_bytes())
    with pytest.raises(DataError, match=r"train/ann/0001\.jpg also stands in the test pairs .*test/cy/0001\.jpg"):
        refuse_overlap(open_faces(train), [0, 1, 2, 3], pairs_of(test, "cy", "di"), 32)


def test_an_image_that_is_not_used_does_not_count(folder: Path) -> None:
    train = apart(folder, ["ann", "bo", "", ""], "train")
    test = apart(folder, ["cy", "", "di", ""], "test")
    refuse_overlap(open_faces(train), [2, 3], pairs_of(test, "cy", "di"), 32)


def test_a_person_under_one_name_is_refused(folder: Path) -> None:
    train = apart(folder, ["cy", "di", "", ""], "train")
    test = apart(folder, ["", "", "cy", "di"], "test")
    with pytest.raises(DataError, match=r"cy; di of the calibration faces .* also stand in the test pairs"):
        refuse_overlap(open_faces(train), [0, 1, 2, 3], pairs_of(test, "cy", "di"), 32)


def test_numbers_of_another_set_are_nobody(folder: Path) -> None:
    train = apart(folder, ["001", "002", "", ""], "train")
    test = apart(folder, ["", "", "001", "002"], "test")
    refuse_overlap(open_faces(train), [0, 1, 2, 3], pairs_of(test, "001", "002"), 32)


def test_numbers_of_the_same_set_are_people(folder: Path) -> None:
    test = apart(folder, ["001", "002", "003", "004"], "test")
    shutil.copy(test / "003" / "0001.jpg", test / "001" / "0002.jpg")
    with pytest.raises(DataError, match="001 of the calibration faces"):
        refuse_overlap(open_faces(test), [2], pairs_of(test, "001", "002"), 32)


def test_real_training_faces_are_not_in_the_real_pairs(shared: Path) -> None:
    cfp = shared / "faces" / "cfp"
    train = open_faces(shared / "faces" / "train")
    refuse_overlap(train, list(range(0, len(train), 50)), open_pairs(cfp / "pairs_ff.csv", cfp), 112)
