from __future__ import annotations

import os
from pathlib import Path

import pytest

from facekd.data.alignment.photographs import find_photographs, name_crops, name_face
from facekd.errors import DataError


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def test_images_at_any_depth_are_sorted_and_other_files_counted(tmp_path: Path) -> None:
    touch(tmp_path, "b/x.JPG", "a/deep/y.png", "z.webp", "a/notes.txt", ".hidden/h.jpg", "a/.h.jpg")
    assert find_photographs(tmp_path) == (["a/deep/y.png", "b/x.JPG", "z.webp"], 3)


def test_links_are_followed_and_cycles_are_not(tmp_path: Path) -> None:
    photos = touch(tmp_path / "photos", "a/x.jpg", "b/y.jpg")
    touch(tmp_path / "other", "z.jpg")
    (photos / "c").symlink_to(tmp_path / "other")
    for name in ("a/up", "a/upper", "b/up"):
        (photos / name).symlink_to(photos)
    (photos / "a" / "to_b").symlink_to(photos / "b")
    (photos / "b" / "to_a").symlink_to(photos / "a")
    assert find_photographs(photos)[0] == ["a/to_b/y.jpg", "a/x.jpg", "b/to_a/x.jpg", "b/y.jpg", "c/z.jpg"]


def test_names_that_are_not_utf8_are_kept(tmp_path: Path) -> None:
    name = os.fsdecode(b"p\xff\xfe/a\xff.jpg")
    assert find_photographs(touch(tmp_path, name))[0] == [name]


@pytest.mark.parametrize("name", ["none", "n" * 300])
def test_a_folder_that_does_not_exist(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="is not a folder; give the folder with the photographs"):
        find_photographs(tmp_path / name)


def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "a/x.jpg", "locked/y.jpg")
    real = os.scandir

    def deny(path: str) -> object:
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(os, "scandir", deny)
    with pytest.raises(DataError, match=r"locked cannot be read \(Permission denied\); allow it"):
        find_photographs(tmp_path)


def test_crops_have_the_extension_of_their_format(tmp_path: Path) -> None:
    assert name_crops(["a/x.JPG", "a/y.jpeg", "a/z.png"], tmp_path, ".jpg") == {
        "a/x.JPG": "a/x.JPG", "a/y.jpeg": "a/y.jpeg", "a/z.png": "a/z.png.jpg"}
    assert name_crops(["a/z.png"], tmp_path, ".png") == {"a/z.png": "a/z.png"}


def test_two_photographs_with_one_crop_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"two photographs would both become .*a\.png\.jpg; rename one"):
        name_crops(["a.png", "a.png.jpg"], tmp_path, ".jpg")


def test_a_further_face_has_a_name_that_no_photograph_has(tmp_path: Path) -> None:
    assert [name_face(name, 2) for name in ("a/x.jpg", "a/x.png.jpg")] == ["a/x.face2.jpg", "a/x.png.face2.jpg"]
    names = ["a/x.jpg", "a/x.face2.jpg", "b/x.face2.jpg"]
    assert len(name_crops(names, tmp_path, ".jpg")) == len(name_crops(names[1:], tmp_path, ".jpg", True)) + 1 == 3
    with pytest.raises(DataError, match=r"a/x\.face2\.jpg has the name of a further face of another photo"):
        name_crops(names, tmp_path, ".jpg", True)


def test_a_name_that_no_file_system_holds_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="would have a name of more than 255 bytes; rename the photograph"):
        name_crops([f"a/{'x' * 250}.png"], tmp_path, ".jpg")
