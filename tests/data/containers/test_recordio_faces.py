from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from facekd.data.containers.recordio_faces import RecordFaces, find_record_file
from facekd.data.containers.recordio_format import RecordHeader, RecordWriter
from facekd.data.opening import open_faces
from facekd.errors import DataError

IMAGES = [RecordHeader(0.0, 1), RecordHeader(0.0, 2), RecordHeader(1.0, 3)]
HEADER = RecordHeader(0.0, 0, vector=(4.0, 6.0))
PEOPLE = [RecordHeader(0.0, 4, vector=(1.0, 3.0)), RecordHeader(0.0, 5, vector=(3.0, 4.0))]


def write(folder: Path, headers: Sequence[RecordHeader], image: bytes = b"image", name: str = "train.rec") -> Path:
    """Write records with their id as key; those with a scalar label or an odd id2 contain an image."""
    path = folder / name
    with path.open("wb") as rec, path.with_suffix(".idx").open("w") as idx:
        writer = RecordWriter(rec, idx)
        for header in headers:
            with_image = header.id2 % 2 == 1 or not header.vector
            writer.write(header.id, header, image + bytes([header.id]) if with_image else b"")
    return path


@pytest.fixture
def packed_set(tmp_path: Path) -> Path:
    path = write(tmp_path, [HEADER, *IMAGES, *PEOPLE])
    (tmp_path / "property").write_text("2,112,96")
    (tmp_path / "names.txt").write_text("Ada\nÉva\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(("name", "images", "identities"), [("train", 8395, 1554), ("distractors", 4021, 4021)])
def test_set_written_by_mxnet(shared: Path, name: str, images: int, identities: int) -> None:
    faces = RecordFaces(shared / "faces" / name / "train.rec")
    assert (len(faces), faces.num_identities, faces.property_identities) == (images, identities, identities)
    assert faces.property_size == (112, 112)


def test_mxnets_identity_records_agree_with_its_image_labels(shared: Path) -> None:
    faces = RecordFaces(shared / "faces" / "train" / "train.rec")
    spans = [np.full(end - first, label) for label, (first, end) in enumerate(faces.identity_ranges.tolist())]
    np.testing.assert_array_equal(faces.labels, np.concatenate(spans))


def test_mxnets_images_decode(shared: Path) -> None:
    faces = RecordFaces(shared / "faces" / "train" / "train.rec")
    for index in range(0, len(faces), 500):
        image = cv2.imdecode(np.frombuffer(faces.read(index), np.uint8), cv2.IMREAD_COLOR)
        assert image is not None and image.shape == (112, 112, 3)


def test_insightface_layout(packed_set: Path) -> None:
    faces = RecordFaces(packed_set)
    assert faces.labels.tolist() == [0, 0, 1]
    assert faces.labels.dtype == np.int64
    assert [faces.read(index) for index in range(3)] == [b"image\x01", b"image\x02", b"image\x03"]
    assert faces.identity_ranges.tolist() == [[1, 3], [3, 4]]
    assert faces.property_size == (112, 96)
    assert faces.class_names == ["Ada", "Éva"]
    assert "record 3 " in faces.location(2)


def test_without_header_record_every_record_is_an_image(tmp_path: Path) -> None:
    faces = RecordFaces(write(tmp_path, [RecordHeader(1.0, 0), RecordHeader(0.0, 7), RecordHeader(1.0, 3)]))
    assert faces.labels.tolist() == [1, 1, 0]
    assert [faces.read(index)[-1] for index in range(3)] == [0, 3, 7]
    assert faces.identity_ranges.shape == (0, 2)


def test_vector_labels_give_their_first_component(tmp_path: Path) -> None:
    headers = [RecordHeader(0.0, key, 1, (label, 9.0)) for key, label in enumerate([2.0, 0.0, 1.0])]
    faces = RecordFaces(write(tmp_path, headers))
    assert faces.labels.tolist() == [2, 0, 1]
    assert faces.read(0) == b"image\x00"


def test_vector_labels_below_a_header_record(tmp_path: Path) -> None:
    images = [RecordHeader(0.0, key, 1, (label, 9.0)) for key, label in enumerate([0.0, 0.0, 1.0], 1)]
    assert RecordFaces(write(tmp_path, [HEADER, *images, *PEOPLE])).labels.tolist() == [0, 0, 1]


def test_gaps_in_the_labels_still_open(tmp_path: Path) -> None:
    faces = RecordFaces(write(tmp_path, [RecordHeader(4.0, 0), RecordHeader(1.0, 1)]))
    assert faces.num_identities == 5
    assert faces.class_names == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize("label", [-1.0, 0.5, float("nan"), float("inf"), 2.0**24])
def test_label_that_is_no_identity_is_named(tmp_path: Path, label: float) -> None:
    path = write(tmp_path, [RecordHeader(0.0, 0), RecordHeader(label, 1), RecordHeader(1.0, 2)])
    with pytest.raises(DataError, match=r"record 1 .*is not an identity number.* 1 of 3 images"):
        RecordFaces(path)


def test_names_of_another_length_are_refused(packed_set: Path) -> None:
    (packed_set.parent / "names.txt").write_text("Ada\n")
    with pytest.raises(DataError, match=r"names\.txt holds 1 names for 2 identities"):
        RecordFaces(packed_set)


@pytest.mark.parametrize("text", ["", "2,112", "a,b,c", "\x80"])
def test_malformed_property_is_refused(packed_set: Path, text: str) -> None:
    (packed_set.parent / "property").write_text(text)
    with pytest.raises(DataError, match=r"property holds .*'identities,height,width'"):
        RecordFaces(packed_set)


def test_without_property_nothing_is_claimed(packed_set: Path) -> None:
    (packed_set.parent / "property").unlink()
    assert (RecordFaces(packed_set).property_identities, RecordFaces(packed_set).property_size) == (None, None)


def test_images_missing_in_the_index_are_counted(tmp_path: Path) -> None:
    path = write(tmp_path, [HEADER, IMAGES[0], IMAGES[2], *PEOPLE])
    with pytest.raises(DataError, match=r"promises 3 images in record 0, train\.idx lists 2"):
        RecordFaces(path)


@pytest.mark.parametrize("vector", [(1.0, 3.0), (4.0, float("nan")), (4.5, 6.0), (1e30, 1e30), (4.0, 5.0, 6.0)])
def test_senseless_header_record_is_refused(tmp_path: Path, vector: tuple[float, ...]) -> None:
    path = write(tmp_path, [RecordHeader(0.0, 0, vector=vector), *IMAGES, *PEOPLE])
    with pytest.raises(DataError, match=r"record 0 .*pack the set again"):
        RecordFaces(path)


def test_senseless_identity_record_is_named(tmp_path: Path) -> None:
    faces = RecordFaces(write(tmp_path, [HEADER, *IMAGES, PEOPLE[0], RecordHeader(0.0, 5)]))
    with pytest.raises(DataError, match=r"record 5 .*range of a person"):
        _ = faces.identity_ranges


def test_file_cut_among_the_images_is_refused_on_opening(packed_set: Path) -> None:
    packed_set.write_bytes(packed_set.read_bytes()[:100])
    with pytest.raises(DataError, match=r"record 5 .*the file ends.*at byte 100"):
        RecordFaces(packed_set)


def test_cut_image_is_named_on_reading(tmp_path: Path) -> None:
    path = write(tmp_path, [RecordHeader(0.0, 0), RecordHeader(1.0, 1)], image=bytes(100))
    path.write_bytes(path.read_bytes()[:-50])
    faces = RecordFaces(path)
    with pytest.raises(DataError, match=r"train\.rec record 1 "):
        faces.read(1)


def test_record_file_of_a_path(tmp_path: Path) -> None:
    assert find_record_file(tmp_path) is None
    only = write(tmp_path, IMAGES, name="b.rec")
    assert find_record_file(tmp_path) == only
    assert find_record_file(only) == only
    assert find_record_file(only.with_suffix(".idx")) is None


def test_train_is_preferred_and_other_choices_are_left_to_the_user(tmp_path: Path) -> None:
    for name in ("a.rec", "z.rec"):
        write(tmp_path, IMAGES, name=name)
    assert find_record_file(tmp_path) is None
    assert find_record_file(write(tmp_path, IMAGES)) == tmp_path / "train.rec"
    assert find_record_file(tmp_path) == tmp_path / "train.rec"


def test_open_faces_takes_folder_and_file(packed_set: Path) -> None:
    assert open_faces(packed_set).fingerprint() == open_faces(packed_set.parent).fingerprint()
