from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from facekd.api.compare import compare
from facekd.data.alignment.detector import DETECTOR_VARIABLE, DetectedFace, Detector, Image
from facekd.data.alignment.landmarks import warp_face
from facekd.data.synthetic.dataset import render_crop
from facekd.data.transforms import decode
from facekd.errors import DataError, SetupError
from facekd.models.weights import load_model
from facekd.run import Run
from facekd.utils import files
from facekd.utils.documents import read_json


@pytest.fixture
def crops(tmp_path: Path) -> tuple[Path, Path]:
    """Two aligned crops, lossless and at the network's size."""
    paths = tmp_path / "0.png", tmp_path / "1.png"
    for number, path in enumerate(paths):
        cv2.imwrite(str(path), cv2.cvtColor(render_crop(number, 0, 32), cv2.COLOR_RGB2BGR))
    return paths


def features_of(model: Path, images: list[Image]) -> NDArray[np.float64]:
    """Image plus mirror by torch alone, float64 unit rows."""
    network = load_model(model)
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float().sub(127.5).div(127.5)
    with torch.no_grad():
        summed = (network(pixels) + network(pixels.flip(3))).double().numpy()
    normalized: NDArray[np.float64] = summed / np.linalg.norm(summed, axis=1, keepdims=True)
    return normalized


def test_compare_of_crops_is_their_cosine(run: Run, crops: tuple[Path, Path]) -> None:
    first, second = features_of(run.model, [render_crop(0, 0, 32), render_crop(1, 0, 32)])
    comparison = compare(crops[0], crops[1], model=run.model, aligned=True)
    assert comparison.similarity == pytest.approx(first @ second, abs=1e-5)


def test_without_a_threshold_there_is_no_verdict(run: Run, crops: tuple[Path, Path]) -> None:
    comparison = compare(crops[0], crops[1], model=run.path, aligned=True)
    assert (comparison.threshold, comparison.same_person, comparison.far) == (None, None, None)
    assert comparison.source.startswith("no verification result of this model holds a threshold at FAR 1e-2")


@pytest.mark.parametrize(("threshold", "same"), [(-1.0, True), (1.1, False)])
def test_the_threshold_comes_from_the_runs_results(
    run: Run, crops: tuple[Path, Path], threshold: float, same: bool
) -> None:
    file = run.results / "verify-cfp.json"
    files.write_json(file, {"thresholds": {"1e-2": None, "1e-1": threshold}})
    comparison = compare(crops[0], crops[1], model=run.path, aligned=True, far="1e-1")
    assert (comparison.threshold, comparison.far, comparison.source) == (threshold, "1e-1", str(file))
    assert comparison.same_person is same
    at_unmeasured_far = compare(crops[0], crops[1], model=run.path, aligned=True)
    assert at_unmeasured_far.same_person is None


def test_a_given_threshold_goes_first(run: Run, crops: tuple[Path, Path]) -> None:
    files.write_json(run.results / "verify-cfp.json", {"thresholds": {"1e-2": -1.0}})
    comparison = compare(crops[0], crops[1], model=run.path, aligned=True, threshold=1.1)
    assert (comparison.threshold, comparison.same_person, comparison.source) == (1.1, False, "given")


class FixedDetector(Detector):
    """Returns the given landmarks, one face per image, whatever the images show; none when they are used up."""

    def __init__(self, landmarks: list[NDArray[np.float32]]) -> None:
        self.landmarks = landmarks

    def detect(self, bgr: Image) -> list[DetectedFace]:
        if not self.landmarks:
            return []
        return [DetectedFace(np.array([0, 0, 9, 9], np.float32), self.landmarks.pop(0), 0.9)]


def test_compare_of_photographs_aligns_them_first(fixtures: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    photos = fixtures / "photos"
    all_landmarks = read_json(photos / "landmarks.json")
    names = ["id_00000/0000.jpg", "id_00001/0000.jpg"]
    landmarks = [np.array(all_landmarks[name], np.float32).reshape(5, 2) for name in names]
    monkeypatch.setattr("facekd.api.compare.open_detector", lambda path: FixedDetector(list(landmarks)))
    images = [decode((photos / name).read_bytes(), "") for name in names]
    crops = [warp_face(image, points, 32) for image, points in zip(images, landmarks, strict=True)]
    first, second = features_of(run.model, crops)
    comparison = compare(photos / names[0], photos / names[1], model=run.model, detector="any.onnx")
    assert comparison.similarity == pytest.approx(first @ second, abs=1e-5)


def test_a_photograph_without_a_face_is_named(fixtures: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facekd.api.compare.open_detector", lambda path: FixedDetector([]))
    photo = fixtures / "photos" / "id_00000" / "0000.jpg"
    with pytest.raises(DataError, match=r"0000\.jpg: no face was found; use a larger or sharper picture"):
        compare(photo, photo, model=run.model, detector="any.onnx")


def test_without_a_detector_the_message_says_how_to_give_one(
    run: Run, crops: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(DETECTOR_VARIABLE, raising=False)
    with pytest.raises(SetupError, match=r"a face detector is needed: give --detector FILE or set FACEKD_DETECTOR"):
        compare(crops[0], crops[1], model=run.model)


def test_a_missing_photograph_is_named(run: Run, crops: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.jpg does not exist; check the path"):
        compare(crops[0], tmp_path / "none.jpg", model=run.model, aligned=True)


def test_a_crop_that_is_not_square_is_not_squeezed(run: Run, crops: tuple[Path, Path], tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "wide.png"), np.zeros((32, 48, 3), np.uint8))
    with pytest.raises(DataError, match=r"wide\.png is 48x32, aligned crops are square"):
        compare(crops[0], tmp_path / "wide.png", model=run.model, aligned=True)
