from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from facekd.api.compare import compare
from facekd.api.deploy.export import export
from facekd.api.evaluate.verify import verify
from facekd.data.alignment.detector import DetectedFace, Detector, Image
from facekd.data.alignment.detector_file import DETECTOR_VARIABLE
from facekd.data.alignment.landmarks import warp_face
from facekd.data.synthetic.dataset import render_crop
from facekd.data.transforms import decode
from facekd.errors import DataError, FacekdError, SetupError
from facekd.io import files
from facekd.io.documents import read_json
from facekd.models.loading import load
from facekd.models.weights import load_model
from facekd.run import Run


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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"far": "nan"}, "--far nan is no false accept rate"), ({"far": "-1"}, "--far -1"), ({"far": "x"}, "--far x"),
        ({"far": ""}, "--far"), ({"far": "1"}, "--far 1 is no"), ({"threshold": float("nan")}, "--threshold nan"),
        ({"threshold": 0.5, "far": "1e-2"}, "--threshold replaces"), ({"threshold": 0.5, "result": "r"}, "replaces"),
        ({"prior": 0.0}, "--prior 0 is no probability"), ({"prior": 0.1}, "--prior has no effect: no calibration"),
        ({"prior": 0.1, "threshold": 0.5}, "--prior has no effect beside --threshold"),
        ({"detector": "d.onnx"}, "--aligned crops need no --detector"),
    ],
)
def test_arguments_without_sense_or_effect_are_refused(
    run: Run, crops: tuple[Path, Path], arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        compare(*crops, model=run.model, aligned=True, **arguments)


def test_a_model_that_is_a_file_takes_the_threshold_of_its_result_file(
    run: Run, crops: tuple[Path, Path], tmp_path: Path
) -> None:
    advice = compare(*crops, model=run.model, aligned=True).source
    assert f"run 'facekd eval verify --model {run.model}' on a list" in advice
    result = tmp_path / "result.json"
    content = {"kind": "verify", "model_sha256": load(run.model).fingerprint, "flip": False,
               "thresholds": {"0.01": 0.25}}
    files.write_json(result, content)
    comparison = compare(*crops, model=run.model, aligned=True, result=result)
    assert (comparison.threshold, comparison.far, comparison.source) == (0.25, "1e-2", str(result))
    embedder = load(run.model)
    first, second = embedder([*crops], flip=False).astype(np.float64)  # measured so
    assert comparison.similarity == pytest.approx(first @ second, abs=1e-6)
    files.write_json(result, {**content, "model_sha256": "0"})
    with pytest.raises(DataError, match=r"result\.json is no verification result of this model"):
        compare(*crops, model=run.model, aligned=True, result=result)


def test_the_thresholds_of_a_package_are_those_of_its_file(
    fixtures: Path, run: Run, crops: tuple[Path, Path], tmp_path: Path
) -> None:
    package = export(run.model, tmp_path / "package", precisions=["fp32"])
    assert "export it with --pairs" in compare(*crops, model=package.path, aligned=True).source
    metadata = read_json(package.path / "metadata.json")
    figures = {"accuracy": 0.9, "thresholds": {"1e-2": 0.4}}
    metadata["files"]["onnx fp32"]["validation"]["verification"] = {
        "pairs_file": "pairs.csv", "network": figures, "file": figures, "against": None, "resampled": "identities",
        "drop": {"accuracy": {"points": 0.0, "interval": [0.0, 0.0]}}, "thresholds": {"1e-2": 0.5},
        "impostor_pairs": 100,
    }
    files.write_json(package.path / "metadata.json", metadata)
    comparison = compare(*crops, model=package.path, aligned=True)
    assert (comparison.threshold, comparison.source) == (0.5, str(package.path / "metadata.json"))
    file = next(package.path.glob("*.onnx"))
    assert compare(*crops, model=file, aligned=True).threshold == 0.5
    verify(file, fixtures / "pairs.csv", images=fixtures / "folder")
    assert not (package.path / f"{file.name}.results").exists()


def test_a_verification_that_is_kept_beside_the_file_gives_verdict_and_probability(
    fixtures: Path, run: Run, crops: tuple[Path, Path]
) -> None:
    assert compare(*crops, model=run.model, aligned=True, far="1e-1").same_person is None
    verify(run.model, fixtures / "pairs.csv", images=fixtures / "folder")
    file = run.path / "model.safetensors.results" / "verify-pairs.json"
    result = read_json(file)
    comparison = compare(*crops, model=run.model, aligned=True, far="1e-1")
    assert comparison.threshold == result["thresholds"]["1e-1"]
    assert comparison.source == str(file) and comparison.same_person is not None
    fit = {"slope": 10.0, "intercept": -3.0, "pairs": 1000}
    files.write_json(file, {**result, "probability": fit})
    comparison = compare(*crops, model=run.model, aligned=True, far="1e-1", prior=0.2)
    log_odds = 10 * comparison.similarity - 3 + np.log(0.2 / 0.8)
    assert comparison.probability == pytest.approx(1 / (1 + np.exp(-log_odds)), abs=1e-3)
    assert comparison.prior == 0.2


@pytest.mark.parametrize("thresholds", ["x", {"1e-2": "high"}, {"1e-2": []}, None])
def test_damaged_thresholds_are_named(run: Run, crops: tuple[Path, Path], thresholds: object) -> None:
    files.write_json(run.results / "verify-cfp.json", {"thresholds": thresholds})
    with pytest.raises(FacekdError, match=r"verify-cfp\.json"):
        compare(*crops, model=run.path, aligned=True)
