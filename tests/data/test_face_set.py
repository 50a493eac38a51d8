"""One face set in every container, and the committed fixture that all of them are tested on."""

from __future__ import annotations

import hashlib
import runpy
from pathlib import Path

import numpy as np
import pytest

from facekd.data import cv2
from facekd.data.alignment.landmarks import template, warp
from facekd.data.containers.image_folder import FolderFaces
from facekd.data.containers.recordio_faces import RecordFaces
from facekd.data.features.opening import open_features
from facekd.data.opening import open_faces, open_pairs
from facekd.data.transforms import decode
from facekd.errors import DataError
from facekd.utils.files import read_json

TOOL = Path(__file__).resolve().parents[2] / "tools" / "make_fixtures.py"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the tool writes today."""
    folder = tmp_path_factory.mktemp("fixtures")
    runpy.run_path(str(TOOL))["make"](folder)
    return folder


def files_of(folder: Path, ending: str = "") -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob(f"*{ending}") if p.is_file())


def test_the_committed_fixture_holds_what_the_tool_writes(fixtures: Path, made: Path) -> None:
    assert files_of(fixtures) == files_of(made)


def test_its_texts_are_the_same(fixtures: Path, made: Path) -> None:
    for name in ("pairs.csv", "pairs.txt", "record/property", "record/names.txt"):
        assert (fixtures / name).read_text() == (made / name).read_text(), name
    one, other = (read_json(folder / "photos" / "landmarks.json") for folder in (fixtures, made))
    assert one.keys() == other.keys()
    np.testing.assert_allclose(list(one.values()), list(other.values()), atol=0.011)


def test_its_pictures_are_the_same(fixtures: Path, made: Path) -> None:
    """JPEG bytes may differ between builds of OpenCV, so pictures are compared."""
    for name in files_of(fixtures, ".jpg"):
        one, other = (decode((folder / name).read_bytes(), name).astype(int) for folder in (fixtures, made))
        assert np.abs(one - other).mean() < 1, name


def test_its_features_are_the_same(fixtures: Path, made: Path) -> None:
    for name in ("probes", "distractors"):
        paths = [folder / "features" / f"{name}.npy" for folder in (fixtures, made)]
        one, other = map(open_features, paths)
        np.testing.assert_allclose(one.all(), other.all(), atol=1e-3)
        np.testing.assert_equal(one.labels, other.labels)


def test_it_is_small(fixtures: Path) -> None:
    assert sum(path.stat().st_size for path in fixtures.rglob("*")) < 1.5e6


def test_folder_and_record_hold_the_same_set(fixtures: Path) -> None:
    folder, record = open_faces(fixtures / "folder"), open_faces(fixtures / "record")
    assert (type(folder), type(record)) == (FolderFaces, RecordFaces)
    assert folder.fingerprint() == record.fingerprint()
    assert folder.names == record.names == [f"id_{number:05d}" for number in range(8)]
    np.testing.assert_array_equal(folder.labels, np.repeat(np.arange(8), 4))
    np.testing.assert_array_equal(folder.labels, record.labels)


def test_images_are_called_by_person_and_file_or_record(fixtures: Path) -> None:
    sets = open_faces(fixtures / "folder"), open_faces(fixtures / "record")
    assert [images.name(13) for images in sets] == ["id_00003/0001.jpg", "id_00003/14"]


def test_a_record_opens_by_its_file_too(fixtures: Path) -> None:
    assert len(open_faces(str(fixtures / "record" / "train.rec"))) == 32


def test_the_three_pair_lists_hold_the_same_pairs(fixtures: Path) -> None:
    lists = [
        open_pairs(fixtures / "pairs.csv", fixtures / "folder"),
        open_pairs(fixtures / "pairs.txt", fixtures / "lfw"),
        open_pairs(fixtures / "pairs.bin", None),
    ]
    read = [[(one.read(i), one.read(j)) for i, j in zip(one.first, one.second, strict=True)] for one in lists]
    assert read[0] == read[1] == read[2]
    assert [one.same.tolist() for one in lists] == [([True] * 8 + [False] * 8) * 4] * 3
    assert [one.fold.tolist() for one in lists[:2]] == [np.repeat([1, 2, 3, 4], 16).tolist()] * 2


def test_the_photographs_land_on_the_template(fixtures: Path) -> None:
    """The given points bring dark eyes to where the template says, on the mean of all photographs."""
    landmarks = read_json(fixtures / "photos" / "landmarks.json")
    assert list(landmarks) == files_of(fixtures / "photos", ".jpg")
    crops = []
    for name, points in landmarks.items():
        image = decode((fixtures / "photos" / name).read_bytes(), name)
        assert image.shape == (250, 250, 3)
        crops.append(warp(image, np.array(points, np.float32).reshape(5, 2), 112).mean(axis=2))
    mean = np.mean(crops, axis=0)
    for x, y in template(112)[:2].round().astype(int):
        assert mean[y - 2 : y + 3, x - 2 : x + 3].mean() < mean[y + 12 : y + 17, x - 2 : x + 3].mean() - 10


def test_the_fingerprint_is_that_of_labels_and_bytes_in_order(tmp_path: Path) -> None:
    for name, data in {"b/1.jpg": b"one", "a/2.jpg": b"second", "a/1.jpg": b""}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    found = open_faces(tmp_path).fingerprint()
    assert found.content == hashlib.sha256(b"0 0\n" b"0 6\nsecond" b"1 3\none").hexdigest()
    assert (found.classes, found.images) == (2, 3)


def test_the_fingerprint_sees_a_changed_label(tmp_path: Path) -> None:
    one, other = ([("a", b"x"), ("a", b"y"), ("b", b"z")], [("a", b"x"), ("b", b"y"), ("b", b"z")])
    prints = []
    for number, images in enumerate((one, other)):
        for position, (person, data) in enumerate(images):
            path = tmp_path / str(number) / person / f"{position}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        prints.append(open_faces(tmp_path / str(number)).fingerprint().content)
    assert prints[0] != prints[1]


def test_what_does_not_exist_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none does not exist; give a folder"):
        open_faces(tmp_path / "none")


def test_a_file_that_is_no_record_is_said(tmp_path: Path) -> None:
    (tmp_path / "faces.zip").touch()
    with pytest.raises(DataError, match=r"faces\.zip is a file but no \.rec"):
        open_faces(tmp_path / "faces.zip")


def test_opencv_uses_one_thread() -> None:
    assert cv2.getNumThreads() == 1
