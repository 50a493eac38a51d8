from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facekd.data.face_set import FaceSubset
from facekd.data.image_set import UNLABELED, split_validation
from facekd.data.opening import open_faces
from facekd.data.unlabeled import LooseImages, WithoutLabels, open_image_list, require_labels
from facekd.errors import DataError
from tests.data.containers.test_image_folder import write_files


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    return write_files(tmp_path, "a/1.jpg", "a/2.jpg", "b.jpg")


def names(faces: LooseImages) -> list[str]:
    return [faces.image_name(index) for index in range(len(faces))]


def test_loose_images_have_one_class_without_meaning(tmp_path: Path) -> None:
    faces = LooseImages(tmp_path, tmp_path, ["b.jpg", "a.jpg"], "why")
    assert (faces.labels.tolist(), faces.class_names, faces.is_labeled) == ([0, 0], [UNLABELED], False)


@pytest.mark.parametrize("lines", ["b.jpg\na/2.jpg\n", "./b.jpg\r\n\n ./a/2.jpg", "{root}/b.jpg\n{root}/a/2.jpg"])
def test_a_list_keeps_its_order_however_paths_are_written(listed: Path, lines: str) -> None:
    (listed / "list.txt").write_text(lines.format(root=listed))
    faces = open_image_list(listed / "list.txt", None)
    assert names(faces) == ["b.jpg", "a/2.jpg"]
    assert [faces.read(index) for index in range(2)] == [b"b.jpg", b"a/2.jpg"]


def test_paths_of_a_list_start_from_the_given_root(listed: Path) -> None:
    (listed / "b").mkdir()
    (listed / "b" / "list.txt").write_text("1.jpg")
    faces = open_image_list(listed / "b" / "list.txt", listed / "a")
    assert (faces.location(0), faces.path) == (str(listed / "a" / "1.jpg"), listed / "b" / "list.txt")


@pytest.mark.parametrize(("lines", "problem"), [
    ("b.jpg\nc.jpg", "1 of the 2 images listed are not below"), ("../b.jpg", "absolute or lead upwards"),
    ("/etc/passwd", "absolute or lead upwards"), ("b.jpg\n./b.jpg", "come more than once"), ("", "is empty"),
])
def test_a_list_with_a_mistake_is_refused(listed: Path, lines: str, problem: str) -> None:
    (listed / "list.txt").write_text(lines)
    with pytest.raises(DataError, match=problem):
        open_image_list(listed / "list.txt", None)


def test_labels_are_set_aside_and_all_else_is_kept(small_faces: Path) -> None:
    faces = open_faces(small_faces)
    without = WithoutLabels(faces)
    assert (without.labels.max(), without.is_labeled, without.num_classes) == (0, False, 1)
    assert [without.read(index) for index in (0, 47)] == [faces.read(index) for index in (0, 47)]
    assert [without.image_name(index) for index in (0, 47)] == [faces.image_name(index) for index in (0, 47)]


def test_a_part_of_a_set_without_labels_has_none(small_faces: Path) -> None:
    faces = open_faces(small_faces, labels=False)
    for images in (*split_validation(faces, 0.25), FaceSubset(faces, np.arange(3))):
        assert (images.is_labeled, images.num_classes, images.unlabeled_reason) == (False, 1, faces.unlabeled_reason)


def test_the_fingerprint_is_that_of_one_class(small_faces: Path) -> None:
    faces = open_faces(small_faces)
    fingerprints = [WithoutLabels(faces).fingerprint(), open_faces(small_faces, labels=False).fingerprint()]
    assert fingerprints[0] == fingerprints[1] != faces.fingerprint()
    assert fingerprints[0].classes == 1


def test_a_set_with_labels_passes(small_faces: Path) -> None:
    require_labels(open_faces(small_faces), "anything")


def test_the_refusal_says_why_there_are_none_and_what_to_do(listed: Path) -> None:
    with pytest.raises(DataError, match=r"has no labels \(1 of 3 images lie directly in the folder, e\.g\. b\.jpg; "
                       r"--labels.*\), and 'facekd x' needs them; give .* as 'facekd group' makes it, or do y$"):
        require_labels(open_faces(listed), "'facekd x'", "do y")
