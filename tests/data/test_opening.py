from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facekd.data.containers.image_folder import FolderFaces
from facekd.data.containers.recordio_faces import RecordFaces
from facekd.data.opening import open_faces, open_pairs
from facekd.data.unlabeled import LooseImages, WithoutLabels
from facekd.errors import DataError
from tests.data.containers.test_image_folder import write_files


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


@pytest.mark.parametrize(("files", "people", "images"), [
    (["a/1.jpg", "b/1.jpg"], ["a", "b"], 2),
    (["a/1.jpg"], ["a"], 1),
    (["1.jpg", "2.jpg"], None, 2),
    (["a/1.jpg", "b/1.jpg", "1.jpg"], None, 3),
    (["a/x/1.jpg", "b/x/1.jpg"], None, 2),
    (["a/1.jpg", "b/x/1.jpg"], None, 2),
    (["a/1.jpg", "notes.txt", ".1.jpg", "b/.thumbs/1.jpg"], ["a"], 1),
])
def test_a_folder_has_labels_if_every_image_lies_directly_in_a_subfolder(
    tmp_path: Path, files: list[str], people: list[str] | None, images: int
) -> None:
    faces = open_faces(write_files(tmp_path, *files))
    assert (faces.is_labeled, len(faces)) == (people is not None, images)
    assert people is None or faces.class_names == people


def test_images_without_labels_are_sorted_folder_by_folder(tmp_path: Path) -> None:
    faces = open_faces(write_files(tmp_path, "b.jpg", "a/z.jpg", "a b/1.jpg", "a/1.jpg", "note.txt"))
    assert [faces.image_name(index) for index in range(4)] == ["a/1.jpg", "a/z.jpg", "a b/1.jpg", "b.jpg"]
    assert isinstance(faces, LooseImages) and faces.ignored == 1


@pytest.mark.parametrize("files", [["a/x/1.jpg", "a/2.jpg", "b/y/1.jpg"], ["a/1.jpg", "a/2.jpg", "b/1.jpg", "0.jpg"]])
def test_on_request_the_first_level_of_subfolders_are_people(tmp_path: Path, files: list[str]) -> None:
    faces = open_faces(write_files(tmp_path, *files), labels=True)
    assert (faces.class_names, faces.labels.tolist()) == (["a", "b"], [0, 0, 1])


def test_on_request_labels_are_set_aside(fixtures: Path) -> None:
    folder, record = (open_faces(fixtures / name, labels=False) for name in ("folder", "record"))
    assert (type(folder), type(record)) == (LooseImages, WithoutLabels)
    assert folder.fingerprint() == record.fingerprint()


def test_a_text_file_is_a_list_of_images(tmp_path: Path) -> None:
    write_files(tmp_path, "a/1.jpg").joinpath("list.txt").write_text("a/1.jpg")
    assert open_faces(tmp_path / "list.txt").read(0) == b"a/1.jpg"


def test_labels_that_are_not_there_cannot_be_requested(tmp_path: Path) -> None:
    write_files(tmp_path, "1.jpg").joinpath("list.txt").write_text("1.jpg")
    with pytest.raises(DataError, match=r"list\.txt has no labels \(it is a list of images\), and this use needs them"):
        open_faces(tmp_path / "list.txt", labels=True)
    with pytest.raises(DataError, match="holds 1 images directly and no subfolder with images"):
        open_faces(tmp_path, labels=True)


def test_a_root_without_a_list_is_refused(small_faces: Path) -> None:
    with pytest.raises(DataError, match="is no text list, and only the paths of a list start from a root"):
        open_faces(small_faces, root=small_faces)
