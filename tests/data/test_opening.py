from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facekd.data.containers.image_folder import FolderFaces
from facekd.data.containers.recordio_faces import RecordFaces
from facekd.data.opening import open_faces, open_pairs
from facekd.errors import DataError


def test_folder_and_record_hold_the_same_set(fixtures: Path) -> None:
    folder, record = open_faces(fixtures / "folder"), open_faces(fixtures / "record")
    assert (type(folder), type(record)) == (FolderFaces, RecordFaces)
    assert folder.fingerprint() == record.fingerprint()
    assert folder.class_names == record.class_names == [f"id_{number:05d}" for number in range(8)]
    np.testing.assert_array_equal(folder.labels, np.repeat(np.arange(8), 4))
    np.testing.assert_array_equal(folder.labels, record.labels)


def test_a_record_opens_by_its_file_too(fixtures: Path) -> None:
    assert len(open_faces(str(fixtures / "record" / "train.rec"))) == 32


def test_the_three_pair_lists_hold_the_same_pairs(fixtures: Path) -> None:
    lists = [
        open_pairs(fixtures / "pairs.csv", fixtures / "folder"),
        open_pairs(fixtures / "pairs.txt", fixtures / "lfw"),
        open_pairs(fixtures / "pairs.bin", None),
    ]
    images = [
        [(pairs.read(i), pairs.read(j)) for i, j in zip(pairs.first, pairs.second, strict=True)] for pairs in lists
    ]
    assert images[0] == images[1] == images[2]
    assert [pairs.same.tolist() for pairs in lists] == [([True] * 8 + [False] * 8) * 4] * 3
    assert [pairs.fold.tolist() for pairs in lists[:2]] == [np.repeat([1, 2, 3, 4], 16).tolist()] * 2


def test_what_does_not_exist_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none does not exist; give a folder"):
        open_faces(tmp_path / "none")


def test_a_file_that_is_no_record_is_said(tmp_path: Path) -> None:
    (tmp_path / "faces.zip").touch()
    with pytest.raises(DataError, match=r"faces\.zip is a file but no \.rec"):
        open_faces(tmp_path / "faces.zip")


def test_a_text_list_needs_the_folder_of_its_images(fixtures: Path) -> None:
    with pytest.raises(DataError, match=r"pairs\.csv names its images by path; give the folder"):
        open_pairs(fixtures / "pairs.csv", None)
