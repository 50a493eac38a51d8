from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import facekd
from facekd.data import cv2
from facekd.data.alignment.detector import DetectedFace, Detector, Image
from facekd.data.alignment.detector_file import DETECTOR_VARIABLE
from facekd.data.alignment.landmarks import warp_face
from facekd.data.transforms import decode
from facekd.errors import DataError, SetupError
from facekd.io.documents import read_json
from tests.io.test_insightface_pack import write_graph


class FixedDetector(Detector):
    """Returns the landmarks of ``landmarks.json`` for the photographs beside it."""

    fingerprint = "fixed"

    def __init__(self, photos: Path) -> None:
        self.landmarks = {decode((photos / name).read_bytes(), name).tobytes(): np.array(points, np.float32)
                          for name, points in read_json(photos / "landmarks.json").items()}

    def __call__(self, image: Image) -> list[DetectedFace]:
        points = self.landmarks[image.tobytes()].reshape(5, 2)
        return [DetectedFace(np.array([0, 0, 9, 9], np.float32), points, 0.9)]

    def detect(self, bgr: Image) -> list[DetectedFace]:
        raise AssertionError("not reached")


def test_photographs_become_a_face_set(fixtures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Align, pack and examine, as a newcomer does it."""
    photos = fixtures / "photos"
    monkeypatch.setattr("facekd.api.data.align.open_detector", lambda path, device: FixedDetector(photos))
    summary = facekd.align(photos, tmp_path / "crops", detector="any.onnx", size=64)
    assert (summary.photographs, summary.crops, summary.ignored) == (6, 6, 1)  # landmarks.json
    for name, points in read_json(photos / "landmarks.json").items():
        image = decode((photos / name).read_bytes(), name)
        expected = warp_face(image, np.array(points, np.float32).reshape(5, 2), 64).astype(int)
        assert np.abs(decode((tmp_path / "crops" / name).read_bytes(), name) - expected).mean() < 4, name
    packed = facekd.pack(tmp_path / "crops", tmp_path / "set")
    assert (packed.images, packed.identities, packed.size, packed.dropped) == (6, 2, 64, 0)
    assert facekd.doctor(tmp_path / "set").ok


def test_without_a_detector_the_message_says_where_to_get_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(DETECTOR_VARIABLE, raising=False)
    with pytest.raises(SetupError, match=r"give --detector FILE or set FACEKD_DETECTOR.*YuNet"):
        facekd.align(tmp_path, tmp_path / "out")


def test_the_detector_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(DETECTOR_VARIABLE, str(tmp_path / "none.onnx"))
    with pytest.raises(DataError, match=r"none\.onnx does not exist"):
        facekd.align(tmp_path, tmp_path / "out")


def test_a_missing_folder_of_photographs_is_named(
    fixtures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facekd.api.data.align.open_detector", lambda path, device: FixedDetector(fixtures / "photos"))
    with pytest.raises(DataError, match="none is not a folder"):
        facekd.align(tmp_path / "none", tmp_path / "out", detector="any.onnx")


def test_a_model_pack_aligns_every_face_and_names_the_others(
    tmp_path: Path, write_scrfd: Callable[..., Path], run_cli: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    """Two people, one person, nobody and a cut file, by the detector of a folder that holds a recognizer as well."""
    for folder in ("pack", "photos"):
        (tmp_path / folder).mkdir()
    points = ((-1, -1), (1, -1), (0, 0), (-0.5, 1), (0.5, 1))
    write_scrfd(tmp_path / "pack" / "det.onnx", points, 640)
    write_graph(tmp_path / "pack" / "w600k.onnx", ["n", 3, 112, 112], ["n", 8])
    for name, cells in {"two": (10, 40), "one": (20,), "none": ()}.items():
        image = np.zeros((640, 640, 3), np.uint8)
        for cell in cells:
            image[8 * cell : 8 * cell + 8, 8 * cell : 8 * cell + 8, 2] = 255  # OpenCV's order: red
        cv2.imwrite(str(tmp_path / "photos" / f"{name}.png"), image)
    (tmp_path / "photos" / "cut.jpg").write_bytes(b"\xff\xd8 cut")
    arguments = ("align", tmp_path / "photos", tmp_path / "crops", "--detector", tmp_path / "pack", "--all-faces")
    assert run_cli(*arguments, "--device", "cpu") == 0
    assert sorted(file.name for file in (tmp_path / "crops").glob("*.jpg")) == [
        "one.png.jpg", "two.png.face2.jpg", "two.png.jpg"]
    assert "4 photographs, 3 crops (0 from before)" in (output := capsys.readouterr().out)
    for line in ("without a face: none.png", "unreadable: cut.jpg", "with several faces, all taken: two.png"):
        assert line in output
