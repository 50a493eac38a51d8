from __future__ import annotations

from pathlib import Path

import pytest

from facekd.data.containers.image_folder import FolderFaces
from facekd.data.opening import open_faces
from facekd.errors import DataError


def fill(root: Path, *files: str) -> Path:
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_bytes(file.encode())
    return root


def listed(faces: FolderFaces) -> list[str]:
    return [Path(faces.where(index)).relative_to(faces.path).as_posix() for index in range(len(faces))]


def test_first_level_is_the_identity_at_any_depth(tmp_path: Path) -> None:
    faces = FolderFaces(fill(tmp_path, "b/2.jpg", "b/x/y/1.jpg", "a/1.jpg"))
    assert faces.names == ["a", "b"]
    assert faces.labels.tolist() == [0, 1, 1]
    assert listed(faces) == ["a/1.jpg", "b/2.jpg", "b/x/y/1.jpg"]


def test_order_goes_folder_by_folder(tmp_path: Path) -> None:
    files = ["a b/1.jpg", "a/1.jpg", "a/z.jpg", "a-c/1.jpg"]  # as whole paths 'a b/' and 'a-c/' would come before 'a/'
    faces = FolderFaces(fill(tmp_path, *files))
    assert faces.names == ["a", "a b", "a-c"]
    assert listed(faces) == ["a/1.jpg", "a/z.jpg", "a b/1.jpg", "a-c/1.jpg"]


def test_bytes_are_those_of_the_file(tmp_path: Path) -> None:
    faces = FolderFaces(fill(tmp_path, "a/1.jpg", "b/1.jpg"))
    assert [faces.read(index) for index in range(2)] == [b"a/1.jpg", b"b/1.jpg"]


def test_endings_in_any_case(tmp_path: Path) -> None:
    files = ["a/1.JPG", "a/2.jpeg", "a/3.Png", "a/4.bmp", "a/5.WebP"]
    assert listed(FolderFaces(fill(tmp_path, *files))) == files


@pytest.mark.parametrize("other", ["a/notes.txt", "a/.1.jpg", "a/.thumbs/1.jpg", ".cache/1.jpg", "loose.jpg", "a/jpg"])
def test_what_is_no_image_of_a_person_is_counted(tmp_path: Path, other: str) -> None:
    faces = FolderFaces(fill(tmp_path, "a/1.jpg", other))
    assert (listed(faces), faces.ignored) == (["a/1.jpg"], 1)


def test_subfolders_without_images_are_listed_and_get_no_label(tmp_path: Path) -> None:
    fill(tmp_path, "b/1.jpg", "c/readme.txt", ".git/x").joinpath("a").mkdir()
    faces = FolderFaces(tmp_path)
    assert (faces.empty, faces.names, faces.labels.tolist()) == (["a", "c"], ["b"], [0])


def test_linked_person_is_followed(tmp_path: Path) -> None:
    fill(tmp_path, "real/1.jpg", "set/a/1.jpg")
    (tmp_path / "set" / "b").symlink_to(tmp_path / "real", target_is_directory=True)
    assert FolderFaces(tmp_path / "set").names == ["a", "b"]


def test_link_further_down_is_counted_not_entered(tmp_path: Path) -> None:
    (fill(tmp_path, "a/1.jpg") / "a" / "again").symlink_to(tmp_path / "a", target_is_directory=True)
    faces = FolderFaces(tmp_path)
    assert (listed(faces), faces.ignored) == (["a/1.jpg"], 1)


def test_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere is not a folder"):
        FolderFaces(tmp_path / "nowhere")


@pytest.mark.parametrize("files", [[], ["1.jpg", "2.jpg"], ["a/notes.txt"]])
def test_folder_without_people_explains_the_layout(tmp_path: Path, files: list[str]) -> None:
    with pytest.raises(DataError, match=r"no subfolder with images .*PERSON/\*\.jpg"):
        FolderFaces(fill(tmp_path, *files))


def test_image_that_vanished_is_named(tmp_path: Path) -> None:
    faces = FolderFaces(fill(tmp_path, "a/1.jpg"))
    (tmp_path / "a" / "1.jpg").unlink()
    with pytest.raises(DataError, match=r"a/1\.jpg cannot be read"):
        faces.read(0)


def test_open_faces_takes_a_folder(tmp_path: Path) -> None:
    assert open_faces(str(fill(tmp_path, "a/1.jpg"))).names == ["a"]


def test_crops_of_the_shared_set(shared: Path) -> None:
    faces = FolderFaces(shared / "faces" / "cfp")
    assert (len(faces), faces.identities, faces.ignored, faces.empty) == (5600, 400, 2, [])
