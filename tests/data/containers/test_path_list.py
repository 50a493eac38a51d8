from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from facekd.data.containers.path_list import ListedImages, check_relative_paths, read_path_list
from facekd.errors import DataError

PATHS = ["b/2@N00/x.jpg", "a/1@N00/y.jpg", "b/2@N00/w.jpg", "loose.png"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for path in PATHS:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(path.encode())
    return tmp_path


def test_images_come_in_the_order_of_the_list(root: Path) -> None:
    images = ListedImages(root, PATHS)
    assert [images.read(i).decode() for i in range(len(images))] == PATHS
    assert [images.image_name(i) for i in range(len(images))] == PATHS
    assert images.location(1) == str(root / "a/1@N00/y.jpg")


def test_people_are_the_folders_as_they_appear(root: Path) -> None:
    images = ListedImages(root, PATHS)
    assert images.labels.tolist() == [0, 1, 0, 2]
    assert images.class_names == ["b/2@N00", "a/1@N00", "."]


def test_given_labels_count(root: Path) -> None:
    images = ListedImages(root, PATHS, np.array([3, 0, 0, 1]))
    assert images.labels.tolist() == [3, 0, 0, 1]
    assert (images.class_names, images.num_identities) == (["0", "1", "2", "3"], 4)


def test_labels_of_another_length_are_refused(root: Path) -> None:
    with pytest.raises(DataError, match="has 4 paths and 3 labels"):
        ListedImages(root, PATHS, np.array([3, 0, 0]))


def test_missing_files_are_counted_and_five_named(root: Path) -> None:
    absent = [f"none/{number}.jpg" for number in range(7)]
    first_five = ", ".join(absent[:5])
    with pytest.raises(DataError, match=rf"7 of the 11 images listed are not below {root}: {first_five}, \.\.\.;"):
        ListedImages(root, [*absent, *PATHS])


def test_a_folder_is_no_image(root: Path) -> None:
    with pytest.raises(DataError, match="1 of the 2 images listed are not below"):
        ListedImages(root, ["loose.png", "a"])


def test_repeated_paths_are_counted_and_named(root: Path) -> None:
    with pytest.raises(DataError, match=r"2 paths come more than once in .*: b/2@N00/x\.jpg, loose\.png; name each"):
        ListedImages(root, [*PATHS, PATHS[0], PATHS[3], PATHS[3]])


@pytest.mark.parametrize("path", ["../loose.png", "a/../../x", "/etc/hostname", ""])
def test_a_path_that_leads_out_is_refused(root: Path, path: str) -> None:
    with pytest.raises(DataError, match=r"1 paths of .* are empty, absolute or lead upwards"):
        ListedImages(root, [PATHS[0], path])


def test_dots_within_a_name_are_accepted(tmp_path: Path) -> None:
    (tmp_path / "a..b").mkdir()
    (tmp_path / "a..b" / "c...jpg").write_bytes(b"data")
    check_relative_paths(["a..b/c...jpg"], "the list")
    assert ListedImages(tmp_path, ["a..b/c...jpg"]).read(0) == b"data"


def test_an_empty_list_is_refused(root: Path) -> None:
    with pytest.raises(DataError, match=r"the list of images below .* is empty"):
        ListedImages(root, [])


def test_a_list_is_read_line_by_line(tmp_path: Path) -> None:
    text = "a/1.jpg\r\n b/2 3.jpg \n\nc/\u2028\u00e9.jpg\nd/"
    (tmp_path / "lst").write_bytes(text.encode() + b"\xff.jpg")
    assert read_path_list(tmp_path / "lst") == ["a/1.jpg", "b/2 3.jpg", "c/\u2028\u00e9.jpg", "d/\udcff.jpg"]


def test_a_name_that_is_no_utf8_opens_its_file(tmp_path: Path) -> None:
    (tmp_path / "\udcff.jpg").write_bytes(b"data")
    (tmp_path / "lst").write_bytes(b"\xff.jpg\n")
    assert ListedImages(tmp_path, read_path_list(tmp_path / "lst")).read(0) == b"data"


def test_a_list_of_nothing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "lst").write_bytes(b"\n\n")
    with pytest.raises(DataError, match="lst is empty"):
        read_path_list(tmp_path / "lst")


def test_a_list_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"lst does not exist"):
        read_path_list(tmp_path / "lst")


def test_the_lists_of_the_megaface_kit_are_accepted(shared: Path) -> None:
    lists = shared / "megaface" / "templatelists"
    for name in ("facescrub_features_list.json", "megaface_features_list.json_100000_1"):
        paths = json.loads((lists / name).read_text())["path"]
        check_relative_paths(paths, name)
        assert len(set(paths)) == len(paths) > 1000


@pytest.mark.parametrize("path", ["a" * 300, "a" * 100_000, "a\0b"])
def test_a_path_that_no_file_system_holds_is_missing(root: Path, path: str) -> None:
    with pytest.raises(DataError, match="1 of the 1 images listed are not below") as caught:
        ListedImages(root, [path])
    assert len(str(caught.value)) < 450
