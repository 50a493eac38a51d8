from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from insightface.app import FaceAnalysis

from facekd.api.evaluate.verify import verify
from facekd.api.export import export
from facekd.api.report import report
from facekd.data.opening import open_faces
from facekd.data.synthetic.dataset import render, write_faces, write_pairs
from facekd.deploy.package import Package
from facekd.deploy.source import Form, freeze
from facekd.deploy.validation_gate import cosines
from facekd.errors import DataError, ExportError, ModelError
from facekd.models.loading import load
from facekd.models.registry import ModelSpec, build
from facekd.models.weights import load_model, save_model
from facekd.run import Run

STRANGERS = range(100, 106)


@pytest.fixture(scope="module")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six people with four crops each and 24 pairs in two folds, ``pairs.csv``."""
    folder = tmp_path_factory.mktemp("strangers")
    write_faces(folder / "faces", STRANGERS, 4, size=32)
    write_pairs(folder / "faces", STRANGERS, 4, 12, 2, folder / "pairs.csv")
    return folder


@pytest.fixture(scope="module")
def measured(taught: Path, strangers: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of `taught` that was verified."""
    copy = tmp_path_factory.mktemp("measured") / "student"
    shutil.copytree(taught, copy, ignore=shutil.ignore_patterns("checkpoints"))
    verify(copy, strangers / "pairs.csv", strangers / "faces", name="strangers")
    return copy


@pytest.fixture(scope="module")
def exported(measured: Path, small_faces: Path, strangers: Path) -> Package:
    return export(measured, measured / "package", small_faces, strangers / "pairs.csv", strangers / "faces",
                  max_drop=100)


def test_files_are_named_after_the_run(exported: Package) -> None:
    assert {p.name for p in exported.path.glob("*.onnx")} == {
        "student.onnx", "student.fp16.onnx", "student.int8.onnx"
    }


def test_every_file_is_verified_as_eval_verify_does_it_without_mirrors(
    exported: Package, measured: Path, strangers: Path
) -> None:
    list_, faces = strangers / "pairs.csv", strangers / "faces"
    network = verify(measured / "model.safetensors", list_, faces, flip=False)
    for entry in exported.metadata["files"].values():
        verification = entry["proof"]["verification"]
        assert verification["network"]["accuracy"] == network.accuracy
        own = verify(exported.path / entry["files"][0], list_, faces, flip=False)
        assert verification["file"]["accuracy"] == own.accuracy


def test_thresholds_are_of_all_impostors_among_the_images(exported: Package, strangers: Path) -> None:
    verification = exported.metadata["files"]["onnx fp32"]["proof"]["verification"]
    with (strangers / "pairs.csv").open() as lines:
        paths = sorted({row[side] for row in csv.DictReader(lines) for side in ("path1", "path2")})
    crops = np.stack([cv2.cvtColor(cv2.imread(str(strangers / "faces" / path)), cv2.COLOR_BGR2RGB) for path in paths])
    features = load(exported.path / "student.onnx").embed(crops, flip=False)
    people = np.array([int(path.split("/")[0][3:]) for path in paths])
    scores = np.sort((features @ features.T)[people[:, None] < people])
    assert verification["impostors"] == len(scores)
    assert verification["thresholds"]["1e-2"] == pytest.approx(scores[-3], abs=1e-5)
    assert verification["thresholds"]["1e-3"] is None
    card = (exported.path / "card.md").read_text()
    assert f"onnx fp32: {scores[-3]:.3f} at FAR 1e-2 (of {len(scores)} impostor pairs, too few for 1e-3, " in card


def test_cosines_are_told_on_calibration_faces_evenly_spaced(exported: Package) -> None:
    assert exported.metadata["files"]["onnx int8"]["proof"]["cosine"]["crops"]["1"]["images"] == 48


def test_the_card_has_a_line_for_each_result_of_the_run(exported: Package, measured: Path) -> None:
    truth = json.loads((measured / "results" / "verify-strangers.json").read_text())
    block = (exported.path / "card.md").read_text().split("## Results of the network\n\n")[1].split("\n\n")[0]
    low, high = truth["accuracy_interval"]
    wanted = f"- verify-strangers: accuracy {100 * truth['accuracy']:.2f} % [{100 * low:.2f}, {100 * high:.2f}]"
    assert block.startswith(wanted)
    assert len(block.splitlines()) == 1


def test_the_metadata_tell_where_the_model_comes_from(exported: Package, measured: Path) -> None:
    info = Run(measured).info()
    assert exported.metadata["provenance"]["faces"] == info["faces"]
    assert exported.metadata["provenance"]["licence_data"] == "unknown"
    assert "roc" not in exported.metadata["results"]["verify-strangers"]


def test_the_package_is_a_model_and_stands_in_the_report(exported: Package, measured: Path) -> None:
    crops = np.stack([render(1, view, 32) for view in range(3)])
    np.testing.assert_allclose(load(exported.path)(crops), load(measured)(crops), atol=1e-4)
    report(measured)
    text = (measured / "report.html").read_text()
    assert [name for name in ("student.onnx", "student.fp16.onnx", "student.int8.onnx") if name not in text] == []


def test_without_calibration_there_is_no_int8_file(measured: Path, tmp_path: Path) -> None:
    package = export(measured / "model.safetensors", tmp_path / "p", name="phone", licences={"weights": "CC0"})
    assert {p.name for p in package.path.glob("*.onnx")} == {"phone.onnx", "phone.fp16.onnx"}
    assert set(package.metadata["provenance"]) == {"licence_code", "licence_weights", "licence_data", "exported_on"}
    assert "- licence_weights: CC0\n- licence_data: unknown" in (package.path / "card.md").read_text()


def test_the_form_is_inside_the_file(measured: Path, tmp_path: Path) -> None:
    package = export(measured, tmp_path / "p", precisions=["fp32"], pixels="uint8", unit=True)
    told = {entry.key: entry.value for entry in onnx.load(str(package.path / "student.onnx")).metadata_props}
    assert "0 to 255" in told["preprocessing"]
    crops = np.stack([render(1, view, 32) for view in range(3)])
    found = load(package.path).forward(crops)
    wanted = freeze(load_model(measured / "model.safetensors"), Form(), "s").embed(crops)
    np.testing.assert_allclose(found, wanted / np.linalg.norm(wanted, axis=1, keepdims=True), atol=1e-5)


def test_pairs_of_the_calibration_faces_are_refused(
    measured: Path, strangers: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"also stands? in the test pairs .*pairs\.csv"):
        export(measured, tmp_path / "p", strangers / "faces", strangers / "pairs.csv", strangers / "faces")
    assert list(tmp_path.iterdir()) == []


def test_one_face_is_no_calibration(measured: Path, tmp_path: Path) -> None:
    write_faces(tmp_path / "one", range(1), 1, size=32)
    with pytest.raises(ExportError, match=r"one holds 1 faces, int8 ranges need 16"):
        export(measured, tmp_path / "p", tmp_path / "one")
    assert [path.name for path in tmp_path.iterdir()] == ["one"]


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with pytest.raises(ModelError):
        export(tmp_path / "run", tmp_path / "p")


def test_a_limit_below_nothing_is_refused(measured: Path, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="max-drop is -1"):
        export(measured, tmp_path / "p", max_drop=-1)
    assert list(tmp_path.iterdir()) == []


def test_with_a_detector_it_holds_a_package_of_insightface(write_scrfd: Callable[..., Path], tmp_path: Path) -> None:
    network = build(ModelSpec("iresnet10", 112, 16, {"width": 0.25}))
    save_model(network, tmp_path / "student.safetensors")
    package = export(tmp_path / "student.safetensors", tmp_path / "p", precisions=["fp32"],
                     detector=write_scrfd(tmp_path / "scrfd.onnx"))
    client = FaceAnalysis(str(package.path / "insightface"), providers=["CPUExecutionProvider"])
    assert client.models["recognition"].output_shape[1] == 16
    crop = np.stack([render(1, 0, 112)])
    theirs = client.models["recognition"].get_feat(np.ascontiguousarray(crop[0, :, :, ::-1]))
    np.testing.assert_allclose(theirs, freeze(network, Form(), "s").embed(crop), rtol=1e-3, atol=1e-4)


def test_what_insightface_cannot_use_is_refused_before_anything_is_made(
    measured: Path, write_scrfd: Callable[..., Path], tmp_path: Path
) -> None:
    detector = write_scrfd(tmp_path / "scrfd.onnx")
    with pytest.raises(ExportError, match="32x32"):
        export(measured, tmp_path / "p", detector=detector)
    assert list(tmp_path.iterdir()) == [detector]


@pytest.fixture(scope="module")
def tuned(measured: Path, small_faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Package:
    return export(measured, tmp_path_factory.mktemp("tuned") / "p", small_faces, precisions=["fp32", "int8"], tune=2)


def test_tuning_changes_the_int8_file_alone(tuned: Package, exported: Package) -> None:
    sums = [package.metadata["sha256"] for package in (tuned, exported)]
    assert sums[0]["student.onnx"] == sums[1]["student.onnx"]
    assert sums[0]["student.int8.onnx"] != sums[1]["student.int8.onnx"]


def test_a_tuned_file_is_proved_against_the_untuned_network(tuned: Package, measured: Path, small_faces: Path) -> None:
    faces = open_faces(small_faces)
    crops = np.stack([faces.pixels(i) for i in range(len(faces))])
    wanted = freeze(load_model(measured / "model.safetensors"), Form(), "s").embed(crops)
    found = load(tuned.path / "student.int8.onnx").forward(crops)
    told = tuned.metadata["files"]["onnx int8"]["proof"]["cosine"]["crops"]["1"]
    assert told["mean"] == pytest.approx(cosines(found, wanted).mean, abs=1e-6)


def test_metadata_and_card_tell_what_it_was_tuned_on(tuned: Package, small_faces: Path) -> None:
    told = tuned.metadata["provenance"]["int8_tuning"]
    assert told == {"epochs": 2, "faces": asdict(open_faces(small_faces).fingerprint())}
    assert "- int8_tuning: {\"epochs\": 2, " in (tuned.path / "card.md").read_text()


def test_all_faces_of_the_tuning_must_be_strangers_to_the_pairs(
    measured: Path, small_faces: Path, strangers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facekd.api.export.CALIBRATION", 1)
    shutil.copytree(small_faces, tmp_path / "faces")
    image = min((strangers / "faces").rglob("*.*"))
    (tmp_path / "faces" / "zz").mkdir()
    shutil.copy(image, tmp_path / "faces" / "zz")
    words = (measured, tmp_path / "p", tmp_path / "faces", strangers / "pairs.csv", strangers / "faces")
    with pytest.raises(DataError, match=r"zz.* also stands in the test pairs"):
        export(*words, precisions=["int8"], max_drop=100, tune=1)
    assert export(*words, precisions=["int8"], max_drop=100).metadata["files"]


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What ``export`` was called with from the command line."""
    calls: list[tuple[Any, ...]] = []

    def record(*words: Any) -> Package:
        calls.append(words)
        return Package(Path("p"), {"parameters": 1, "macs": 1, "files": {}})

    monkeypatch.setattr("facekd.api.export.export", record)
    return calls


def test_the_command_line_alone(call: Callable[..., int], given: list[tuple[Any, ...]]) -> None:
    assert call("export", "run", "p") == 0
    assert given == [("run", "p", None, None, None, None, ["onnx"], [], 0.3, "float", False, None, None, {})]


def test_the_command_line_with_all_it_takes(call: Callable[..., int], given: list[tuple[Any, ...]]) -> None:
    words = ("--to onnx,ncnn --precision fp32,int8 --calibration f --pairs c.csv --images i --max-drop 0.5 "
             "--input uint8 --unit --name n --detector d --tune 2 --licence weights=CC0 data=none")
    assert call("export", "run", "p", *words.split()) == 0
    assert given == [("run", "p", "f", "c.csv", "i", "n", ["onnx", "ncnn"], ["fp32", "int8"], 0.5, "uint8", True,
                      "d", 2, {"weights": "CC0", "data": "none"})]


@pytest.mark.parametrize(("words", "said"), [
    ("--to onx", "unknown target 'onx'"), ("--precision int9", "no file in int9"),
    ("--precision int8", "--calibration"), ("--licence model=CC0", "give code, weights or data"),
    ("--tune 0", "tune is 0"), ("--tune 1", "give --calibration FACES")
])
def test_wishes_that_cannot_be_met_end_with_2(
    call: Callable[..., int], measured: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: str, said: str
) -> None:
    assert call("export", measured, tmp_path / "p", *words.split()) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("facekd: ") and said in line
