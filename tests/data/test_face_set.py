"""What all face sets have in common, whatever their container."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from facekd.data.face_set import MAX_IDENTITIES, FaceSet, FaceSubset, number_identities
from facekd.data.opening import open_faces
from facekd.errors import DataError


def test_images_are_called_by_person_and_file_or_record(fixtures: Path) -> None:
    sets = open_faces(fixtures / "folder"), open_faces(fixtures / "record")
    assert [images.image_name(13) for images in sets] == ["id_00003/0001.jpg", "id_00003/14"]


def test_the_fingerprint_is_that_of_labels_and_bytes_in_order(tmp_path: Path) -> None:
    for name, data in {"b/1.jpg": b"one", "a/2.jpg": b"second", "a/1.jpg": b""}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    fingerprint = open_faces(tmp_path).fingerprint()
    assert fingerprint.content == hashlib.sha256(b"0 0\n" b"0 6\nsecond" b"1 3\none").hexdigest()
    assert (fingerprint.classes, fingerprint.images) == (2, 3)


def test_the_fingerprint_sees_a_changed_label(tmp_path: Path) -> None:
    sets = ([("a", b"x"), ("a", b"y"), ("b", b"z")], [("a", b"x"), ("b", b"y"), ("b", b"z")])
    hashes = []
    for number, images in enumerate(sets):
        for position, (person, data) in enumerate(images):
            path = tmp_path / str(number) / person / f"{position}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        hashes.append(open_faces(tmp_path / str(number)).fingerprint().content)
    assert hashes[0] != hashes[1]


def test_pixels_are_iterated_in_the_given_order_with_errors_in_their_place(tmp_path: Path, fixtures: Path) -> None:
    image = next((fixtures / "folder").rglob("*.jpg")).read_bytes()
    contents = [image, b"no image", image] * 60  # more than one block
    (tmp_path / "a").mkdir()
    for number, content in enumerate(contents):
        (tmp_path / "a" / f"{number:03d}.jpg").write_bytes(content)
    faces = open_faces(tmp_path)
    (tmp_path / "a" / "002.jpg").unlink()
    indices = [4, 0, 1, 2, *range(3, 180)]
    for index, pixels in zip(indices, faces.iter_pixels(indices), strict=True):
        if index == 2 or contents[index] == b"no image":
            assert isinstance(pixels, DataError) and f"{index:03d}.jpg" in str(pixels)
        else:
            np.testing.assert_array_equal(pixels, faces.pixels(index))


def test_a_subset_reads_the_bytes_of_its_images(fixtures: Path) -> None:
    faces = open_faces(fixtures / "folder")
    subset = FaceSubset(faces, np.array([9, 3]))
    assert [subset.read(0), subset.read(1)] == [faces.read(9), faces.read(3)]
    assert (subset.num_identities, subset.labels.tolist()) == (8, [2, 0])


class Labeled(FaceSet):
    """A face set with labels only."""

    def __init__(self, labels: list[int]) -> None:
        self.path = Path("labeled")
        self.labels = np.array(labels)

    def read(self, index: int) -> bytes:
        raise AssertionError("no image is read")

    def location(self, index: int) -> str:
        return f"image {index}"


def test_identities_without_names_are_numbered() -> None:
    assert number_identities(Labeled([2, 0, 2])) == ["0", "1", "2"]


@pytest.mark.parametrize("label", [-1, MAX_IDENTITIES])
def test_a_label_that_is_no_identity_is_named(label: int) -> None:
    with pytest.raises(DataError, match=rf"image 1 has the label {label}, .* 1 of 3 images"):
        number_identities(Labeled([0, label, 1]))
