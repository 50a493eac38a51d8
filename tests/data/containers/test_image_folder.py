from __future__ import annotations

from pathlib import Path

import pytest

from facekd.data.containers.image_folder import FolderFaces
from facekd.data.opening import open_faces
from facekd.errors import DataError


def write_files(root: Path, *files: str) -> Path:
    """Write files that contain their own names."""
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_bytes(file.encode())
    return root


def relative_paths(faces: FolderFaces) -> list[str]:
    return [Path(faces.location(index)).relative_to(faces.path).as_posix() for index in range(len(faces))]


def test_first_level_is_the_identity_at_any_depth(tmp_path: Path) -> None:
    faces = FolderFaces(write_files(tmp_path, "b/2.jpg", "b/x/y/1.jpg", "a/1.jpg"))
    assert faces.class_names == ["a", "b"]
    assert faces.labels.tolist() == [0, 1, 1]
    assert relative_paths(faces) == ["a/1.jpg", "b/2.jpg", "b/x/y/1.jpg"]


def test_order_goes_folder_by_folder(tmp_path: Path) -> None:
    files = ["a b/1.jpg", "a/1.jpg", "a/z.jpg", "a-c/1.jpg"]  # as whole paths 'a b/' and 'a-c/' would come before 'a/'
    faces = FolderFaces(write_files(tmp_path, *files))
    assert faces.class_names == ["a", "a b", "a-c"]
    assert relative_paths(faces) == ["a/1.jpg", "a/z.jpg", "a b/1.jpg", "a-c/1.jpg"]


def test_bytes_are_those_of_the_file(tmp_path: Path) -> None:
    faces = FolderFaces(write_files(tmp_path, "a/1.jpg", "b/1.jpg"))
    assert [faces.read(index) for index in range(2)] == [b"a/1.jpg", b"b/1.jpg"]


def test_endings_in_any_case(tmp_path: Path) -> None:
    files = ["a/1.JPG", "a/2.jpeg", "a/3.Png", "a/4.bmp", "a/5.WebP"]
    assert relative_paths(FolderFaces(write_files(tmp_path, *files))) == files


@pytest.mark.parametrize("other", ["a/notes.txt", "a/.1.jpg", "a/.thumbs/1.jpg", ".cache/1.jpg", "loose.jpg", "a/jpg"])
def test_what_is_no_image_of_a_person_is_counted(tmp_path: Path, other: str) -> None:
    faces = FolderFaces(write_files(tmp_path, "a/1.jpg", other))
    assert (relative_paths(faces), faces.ignored) == (["a/1.jpg"], 1)


def test_subfolders_without_images_are_listed_and_get_no_label(tmp_path: Path) -> None:
    write_files(tmp_path, "b/1.jpg", "c/readme.txt", ".git/x").joinpath("a").mkdir()
    faces = FolderFaces(tmp_path)
    assert (faces.empty, faces.class_names, faces.labels.tolist()) == (["a", "c"], ["b"], [0])


def test_linked_person_is_followed(tmp_path: Path) -> None:
    write_files(tmp_path, "real/1.jpg", "set/a/1.jpg")
    (tmp_path / "set" / "b").symlink_to(tmp_path / "real", target_is_directory=True)
    assert FolderFaces(tmp_path / "set").class_names == ["a", "b"]


def test_link_further_down_is_counted_not_entered(tmp_path: Path) -> None:
    (write_files(tmp_path, "a/1.jpg") / "a" / "again").symlink_to(tmp_path / "a", target_is_directory=True)
    faces = FolderFaces(tmp_path)
    assert (relative_paths(faces), faces.ignored) == (["a/1.jpg"], 1)


def test_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere is not a folder"):
        FolderFaces(tmp_path / "nowhere")


def test_images_without_subfolders_get_advice(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds 2 images directly and no subfolder with images; put those of each"):
        FolderFaces(write_files(tmp_path, "1.jpg", "2.PNG", "notes.txt"))


@pytest.mark.parametrize("files", [[], ["1.txt"], ["a/notes.txt"]])
def test_folder_without_people_explains_the_layout(tmp_path: Path, files: list[str]) -> None:
    with pytest.raises(DataError, match=r"no subfolder with images .*PERSON/\*\.jpg"):
        FolderFaces(write_files(tmp_path, *files))


def test_image_that_vanished_is_named(tmp_path: Path) -> None:
    faces = FolderFaces(write_files(tmp_path, "a/1.jpg"))
    (tmp_path / "a" / "1.jpg").unlink()
    with pytest.raises(DataError, match=r"a/1\.jpg cannot be read"):
        faces.read(0)


def test_open_faces_takes_a_folder(tmp_path: Path) -> None:
    assert open_faces(str(write_files(tmp_path, "a/1.jpg"))).class_names == ["a"]


def test_crops_of_the_shared_set(shared: Path) -> None:
    faces = FolderFaces(shared / "faces" / "cfp")
    assert (len(faces), faces.num_identities, faces.ignored, faces.empty) == (5600, 400, 2, [])
