"""``align``, ``pack`` and ``doctor`` as functions: from photographs to a face set one can trust."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import facekd
from facekd.api import prepare
from facekd.api.prepare import DETECTOR_VARIABLE, find_detector
from facekd.data.alignment.detector import Detector, Face, Image
from facekd.data.alignment.landmarks import warp
from facekd.data.transforms import decode
from facekd.errors import DataError, SetupError
from facekd.utils.files import read_json


class Given(Detector):
    """Finds the points of ``landmarks.json``, in the order in which photographs are aligned."""

    fingerprint = "given"

    def __init__(self, photos: Path) -> None:
        landmarks = read_json(photos / "landmarks.json")
        self.waiting = [np.array(landmarks[name], np.float32).reshape(5, 2) for name in sorted(landmarks)]

    def find(self, bgr: Image) -> list[Face]:
        return [Face(np.array([0, 0, 9, 9], np.float32), self.waiting.pop(0), 0.9)]


def test_the_given_detector_goes_before_the_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DETECTOR_VARIABLE, "b.onnx")
    assert find_detector("a.onnx") == Path("a.onnx")
    assert find_detector(None) == Path("b.onnx")


def test_without_one_the_message_says_where_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(DETECTOR_VARIABLE, raising=False)
    with pytest.raises(SetupError, match=r"give --detector FILE or set FACEKD_DETECTOR.*YuNet"):
        facekd.align(tmp_path, tmp_path / "out")


def test_photographs_become_a_face_set(fixtures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Align, pack and examine, as a newcomer does it."""
    photos = fixtures / "photos"
    monkeypatch.setattr(prepare, "open_detector", lambda path: Given(photos))
    summary = facekd.align(photos, tmp_path / "crops", "any.onnx", size=64)
    assert (summary.photographs, summary.crops, summary.ignored) == (6, 6, 1)  # landmarks.json
    for name, points in read_json(photos / "landmarks.json").items():
        image = decode((photos / name).read_bytes(), name)
        expected = warp(image, np.array(points, np.float32).reshape(5, 2), 64).astype(int)
        assert np.abs(decode((tmp_path / "crops" / name).read_bytes(), name) - expected).mean() < 4, name
    packed = facekd.pack(tmp_path / "crops", tmp_path / "set")
    assert (packed.images, packed.identities, packed.size, packed.dropped) == (6, 2, 64, 0)
    assert facekd.doctor(tmp_path / "set").ok


def test_packing_the_folder_gives_the_committed_record(fixtures: Path, tmp_path: Path) -> None:
    facekd.pack(fixtures / "folder", tmp_path / "out")
    for name in ("train.rec", "train.idx", "property", "names.txt"):
        assert (tmp_path / "out" / name).read_bytes() == (fixtures / "record" / name).read_bytes(), name


def test_the_doctor_finds_what_two_sets_share(fixtures: Path) -> None:
    alone = facekd.doctor(fixtures / "record")
    (found,) = alone.sets
    assert (alone.ok, found.images, found.identities, found.sizes) == (True, 32, 8, {"112x112": 32})
    assert not facekd.doctor(fixtures / "folder", fixtures / "record").ok


def test_photographs_that_are_not_there_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare, "open_detector", lambda path: None)
    with pytest.raises(DataError, match="none is not a folder"):
        facekd.align(tmp_path / "none", tmp_path / "out", "any.onnx")
