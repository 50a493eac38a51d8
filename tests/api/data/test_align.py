from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import facekd
from facekd.data.alignment.detector import DETECTOR_VARIABLE, DetectedFace, Detector, Image
from facekd.data.alignment.landmarks import warp_face
from facekd.data.transforms import decode
from facekd.errors import DataError, SetupError
from facekd.io.documents import read_json


class FixedDetector(Detector):
    """Returns the landmarks of ``landmarks.json``, in the order in which photographs are aligned."""

    fingerprint = "fixed"

    def __init__(self, photos: Path) -> None:
        landmarks = read_json(photos / "landmarks.json")
        self.remaining = [np.array(landmarks[name], np.float32).reshape(5, 2) for name in sorted(landmarks)]

    def detect(self, bgr: Image) -> list[DetectedFace]:
        return [DetectedFace(np.array([0, 0, 9, 9], np.float32), self.remaining.pop(0), 0.9)]


def test_photographs_become_a_face_set(fixtures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Align, pack and examine, as a newcomer does it."""
    photos = fixtures / "photos"
    monkeypatch.setattr("facekd.api.data.align.open_detector", lambda path: FixedDetector(photos))
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


def test_a_missing_folder_of_photographs_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facekd.api.data.align.open_detector", lambda path: None)
    with pytest.raises(DataError, match="none is not a folder"):
        facekd.align(tmp_path / "none", tmp_path / "out", detector="any.onnx")
