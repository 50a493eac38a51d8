from __future__ import annotations

import csv
import hashlib
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
import torch
from insightface.app import FaceAnalysis

from facekd.api.deploy.export import export
from facekd.api.evaluate.verify import verify
from facekd.api.report import report
from facekd.data.opening import open_faces
from facekd.data.synthetic.dataset import render_crop, write_faces, write_pairs
from facekd.deploy.package import Package
from facekd.deploy.source import ExportFormat, prepare_source
from facekd.deploy.validation_gate import summarize_cosines
from facekd.errors import DataError, ExportError, ModelError
from facekd.models.loading import load
from facekd.models.onnx_embedder import OnnxEmbedder
from facekd.models.onnx_input import takes_raw_by_names
from facekd.models.registry import ModelSpec, build
from facekd.models.weights import load_model, save_model
from facekd.run import Run
from tests.models.graph.exports import SIZE, ScalesInside, random_network, write_onnx

HELD_OUT = range(100, 106)


@pytest.fixture(scope="module")
def held_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six identities outside the training set with four crops each, and 24 pairs in two folds, ``pairs.csv``."""
    folder = tmp_path_factory.mktemp("held_out")
    write_faces(folder / "faces", HELD_OUT, 4, size=32)
    write_pairs(folder / "faces", HELD_OUT, 4, 12, 2, folder / "pairs.csv")
    return folder


@pytest.fixture(scope="module")
def verified_run(teacher_run: Path, held_out: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of `teacher_run` with a verification result."""
    copy = tmp_path_factory.mktemp("verified") / "student"
    shutil.copytree(teacher_run, copy, ignore=shutil.ignore_patterns("checkpoints"))
    verify(copy, held_out / "pairs.csv", images=held_out / "faces", name="held-out")
    return copy


@pytest.fixture(scope="module")
def exported(verified_run: Path, small_faces: Path, held_out: Path) -> Package:
    """The ONNX files of that run, calibrated and verified."""
    return export(verified_run, verified_run / "package", calibration=small_faces, pairs=held_out / "pairs.csv",
                  images=held_out / "faces", gates=["accuracy=100"])


def test_files_are_named_after_the_run(exported: Package) -> None:
    assert {p.name for p in exported.path.glob("*.onnx")} == {
        "student.onnx", "student.fp16.onnx", "student.int8.onnx"
    }


def test_every_file_is_verified_as_eval_verify_does_it_without_mirrors(
    exported: Package, verified_run: Path, held_out: Path
) -> None:
    pairs, faces = held_out / "pairs.csv", held_out / "faces"
    network = verify(verified_run / "model.safetensors", pairs, images=faces, flip=False)
    for entry in exported.metadata["files"].values():
        verification = entry["validation"]["verification"]
        assert verification["network"]["accuracy"] == network.accuracy
        file_result = verify(exported.path / entry["files"][0], pairs, images=faces, flip=False)
        assert verification["file"]["accuracy"] == file_result.accuracy


def test_thresholds_are_of_all_impostors_among_the_images(exported: Package, held_out: Path) -> None:
    verification = exported.metadata["files"]["onnx fp32"]["validation"]["verification"]
    with (held_out / "pairs.csv").open() as lines:
        paths = sorted({row[side] for row in csv.DictReader(lines) for side in ("path1", "path2")})
    crops = np.stack([cv2.cvtColor(cv2.imread(str(held_out / "faces" / path)), cv2.COLOR_BGR2RGB) for path in paths])
    features = load(exported.path / "student.onnx").embed(crops, flip=False)
    identities = np.array([int(path.split("/")[0][3:]) for path in paths])
    scores = np.sort((features @ features.T)[identities[:, None] < identities])
    assert verification["impostor_pairs"] == len(scores)
    assert verification["thresholds"]["1e-2"] == pytest.approx(scores[-3], abs=1e-5)
    assert verification["thresholds"]["1e-3"] is None
    card = (exported.path / "card.md").read_text()
    assert f"onnx fp32: {scores[-3]:.3f} at FAR 1e-2 (of {len(scores)} impostor pairs, too few for 1e-3, " in card


def test_cosines_are_of_evenly_spaced_calibration_faces(exported: Package) -> None:
    assert exported.metadata["files"]["onnx int8"]["validation"]["cosine"]["crops"]["1"]["images"] == 48


def test_the_card_has_a_line_for_each_result_of_the_run(exported: Package, verified_run: Path) -> None:
    truth = json.loads((verified_run / "results" / "verify-held-out.json").read_text())
    block = (exported.path / "card.md").read_text().split("## Results of the network\n\n")[1].split("\n\n")[0]
    low, high = truth["accuracy_interval"]
    wanted = f"- verify-held-out: accuracy {100 * truth['accuracy']:.2f} % [{100 * low:.2f}, {100 * high:.2f}]"
    assert block.startswith(wanted)
    assert len(block.splitlines()) == 1


def test_the_metadata_contain_the_provenance_of_the_model(exported: Package, verified_run: Path) -> None:
    info = Run(verified_run).info()
    assert exported.metadata["provenance"]["dataset"] == info["dataset"]
    assert exported.metadata["provenance"]["license_data"] == "unknown"
    assert "roc" not in exported.metadata["results"]["verify-held-out"]


def test_the_package_is_a_model_and_is_in_the_report(exported: Package, verified_run: Path) -> None:
    crops = np.stack([render_crop(1, view, 32) for view in range(3)])
    np.testing.assert_allclose(load(exported.path)(crops), load(verified_run)(crops), atol=1e-4)
    report(verified_run)
    text = (verified_run / "report.html").read_text()
    assert [name for name in ("student.onnx", "student.fp16.onnx", "student.int8.onnx") if name not in text] == []


def test_without_calibration_there_is_no_int8_file(verified_run: Path, tmp_path: Path) -> None:
    package = export(verified_run / "model.safetensors", tmp_path / "p", name="phone", licenses={"weights": "CC0"})
    assert {p.name for p in package.path.glob("*.onnx")} == {"phone.onnx", "phone.fp16.onnx"}
    assert set(package.metadata["provenance"]) == {"license_code", "license_weights", "license_data", "exported_on"}
    assert "- license_weights: CC0\n- license_data: unknown" in (package.path / "card.md").read_text()


def test_the_io_format_is_inside_the_file(verified_run: Path, tmp_path: Path) -> None:
    package = export(verified_run, tmp_path / "p", precisions=["fp32"], input_dtype="uint8", l2_normalized=True)
    properties = {entry.key: entry.value for entry in onnx.load(str(package.path / "student.onnx")).metadata_props}
    assert "0 to 255" in properties["preprocessing"]
    crops = np.stack([render_crop(1, view, 32) for view in range(3)])
    embeddings = load(package.path).forward(crops)
    expected = prepare_source(load_model(verified_run / "model.safetensors"), ExportFormat(), "s").embed(crops)
    np.testing.assert_allclose(embeddings, expected / np.linalg.norm(expected, axis=1, keepdims=True), atol=1e-5)


def test_pairs_of_the_calibration_faces_are_refused(
    verified_run: Path, held_out: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"(is|are) also in the test pairs .*pairs\.csv"):
        export(verified_run, tmp_path / "p", calibration=held_out / "faces", pairs=held_out / "pairs.csv",
               images=held_out / "faces")
    assert list(tmp_path.iterdir()) == []


def test_one_face_is_no_calibration(verified_run: Path, tmp_path: Path) -> None:
    write_faces(tmp_path / "one", range(1), 1, size=32)
    with pytest.raises(ExportError, match=r"one holds 1 faces, int8 ranges need at least 16"):
        export(verified_run, tmp_path / "p", calibration=tmp_path / "one")
    assert [path.name for path in tmp_path.iterdir()] == ["one"]


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with pytest.raises(ModelError, match=r"model\.safetensors"):
        export(tmp_path / "run", tmp_path / "p")


def test_a_limit_below_nothing_is_refused(verified_run: Path, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"--gate accuracy=-1: the limit is in percentage points"):
        export(verified_run, tmp_path / "p", gates=["accuracy=-1"])
    assert list(tmp_path.iterdir()) == []


def test_with_a_detector_it_holds_a_package_of_insightface(write_scrfd: Callable[..., Path], tmp_path: Path) -> None:
    network = build(ModelSpec("iresnet10", 112, 16, {"width": 0.25}))
    save_model(network, tmp_path / "student.safetensors")
    package = export(tmp_path / "student.safetensors", tmp_path / "p", precisions=["fp32"],
                     detector=write_scrfd(tmp_path / "scrfd.onnx"))
    client = FaceAnalysis(str(package.path / "insightface"), providers=["CPUExecutionProvider"])
    assert client.models["recognition"].output_shape[1] == 16
    crop = np.stack([render_crop(1, 0, 112)])
    embedding = client.models["recognition"].get_feat(np.ascontiguousarray(crop[0, :, :, ::-1]))
    expected = prepare_source(network, ExportFormat(), "s").embed(crop)
    np.testing.assert_allclose(embedding, expected, rtol=1e-3, atol=1e-4)


def test_what_insightface_cannot_use_is_refused_before_anything_is_made(
    verified_run: Path, write_scrfd: Callable[..., Path], tmp_path: Path
) -> None:
    detector = write_scrfd(tmp_path / "scrfd.onnx")
    with pytest.raises(ExportError, match="32x32"):
        export(verified_run, tmp_path / "p", detector=detector)
    assert list(tmp_path.iterdir()) == [detector]


@pytest.fixture(scope="module")
def qat_package(verified_run: Path, small_faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Package:
    """The same ONNX files after two epochs of quantization-aware training."""
    return export(verified_run, tmp_path_factory.mktemp("qat") / "p", calibration=small_faces,
                  precisions=["fp32", "int8"], qat_epochs=2)


def test_quantization_aware_training_changes_the_int8_file_alone(qat_package: Package, exported: Package) -> None:
    sums = [package.metadata["sha256"] for package in (qat_package, exported)]
    assert sums[0]["student.onnx"] == sums[1]["student.onnx"]
    assert sums[0]["student.int8.onnx"] != sums[1]["student.int8.onnx"]


def test_a_qat_file_is_compared_with_the_original_network(
    qat_package: Package, verified_run: Path, small_faces: Path
) -> None:
    faces = open_faces(small_faces)
    crops = np.stack([faces.pixels(i) for i in range(len(faces))])
    expected = prepare_source(load_model(verified_run / "model.safetensors"), ExportFormat(), "s").embed(crops)
    embeddings = load(qat_package.path / "student.int8.onnx").forward(crops)
    cosine = qat_package.metadata["files"]["onnx int8"]["validation"]["cosine"]["crops"]["1"]
    assert cosine["mean"] == pytest.approx(summarize_cosines(embeddings, expected).mean, abs=1e-6)


def test_metadata_and_card_name_the_training_set_of_the_int8_weights(qat_package: Package, small_faces: Path) -> None:
    provenance = qat_package.metadata["provenance"]["int8_tuning"]
    assert provenance == {"epochs": 2, "dataset": asdict(open_faces(small_faces).fingerprint())}
    assert "- int8_tuning: {\"epochs\": 2, " in (qat_package.path / "card.md").read_text()


def test_no_face_of_quantization_aware_training_may_be_in_the_pairs(
    verified_run: Path, small_faces: Path, held_out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facekd.deploy.int8.calibration.CALIBRATION_FACES", 1)
    shutil.copytree(small_faces, tmp_path / "faces")
    image = min((held_out / "faces").rglob("*.*"))
    (tmp_path / "faces" / "zz").mkdir()
    shutil.copy(image, tmp_path / "faces" / "zz")
    options: dict[str, Any] = {"calibration": tmp_path / "faces", "pairs": held_out / "pairs.csv",
                               "images": held_out / "faces", "precisions": ["int8"], "gates": ["accuracy=100"]}
    with pytest.raises(DataError, match=r"zz.* (is|are) also in the test pairs"):
        export(verified_run, tmp_path / "p", **options, qat_epochs=1)
    assert export(verified_run, tmp_path / "p", **options).metadata["files"]


@pytest.mark.parametrize(("options", "message"), [
    ("--to onx", "unknown target 'onx'"), ("--precision int9", "no file in int9"),
    ("--precision int8", "--calibration"), ("--license model=CC0", "give code, weights or data"),
    ("--qat-epochs 0", "qat_epochs is 0"), ("--qat-epochs 1", "give --calibration FACES"),
])
def test_options_that_do_not_fit_end_with_2(
    run_cli: Callable[..., int], verified_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: str,
    message: str,
) -> None:
    assert run_cli("export", verified_run, tmp_path / "p", *options.split()) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("facekd: ") and message in line


def test_a_package_is_refused_with_what_to_do_instead(exported: Package, tmp_path: Path) -> None:
    message = r"is a package already; export takes the run, the \.safetensors or the \.onnx"
    with pytest.raises(ExportError, match=message):
        export(exported.path, tmp_path / "p")


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ONNX from elsewhere that scales pixels inside, in the convention of OpenCV: it takes BGR from 0 to 255."""
    folder = tmp_path_factory.mktemp("foreign")
    (folder / "LICENSE").write_text("\nMIT License\n")
    return write_onnx(ScalesInside(random_network("mobilefacenet", width=0.25), 127.5, 127.5), folder / "mbf.onnx",
                      dynamo=False)


@pytest.fixture(scope="module")
def foreign_package(foreign: Path, small_faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Package:
    return export(foreign, tmp_path_factory.mktemp("package") / "p", calibration=small_faces, channels="bgr")


def test_a_foreign_onnx_is_exported_in_all_precisions(foreign_package: Package) -> None:
    assert list(foreign_package.metadata["files"]) == ["onnx fp32", "onnx fp16", "onnx int8"]
    assert foreign_package.metadata["size"] == SIZE


def test_its_files_give_what_the_original_gives_as_it_is_fed(foreign: Path, foreign_package: Package) -> None:
    crops = np.stack([render_crop(1, view, SIZE) for view in range(3)])
    expected = load(foreign, channels="bgr")(crops)
    np.testing.assert_allclose(load(foreign_package.path)(crops), expected, atol=1e-4)


def test_its_package_names_the_original_with_its_license(foreign: Path, foreign_package: Package) -> None:
    origin = foreign_package.metadata["provenance"]["converted_from"]
    assert origin["name"] == "mbf.onnx"
    assert origin["sha256"] == hashlib.sha256(foreign.read_bytes()).hexdigest()
    assert origin["license"] == "MIT License (first line of LICENSE)"
    lines = (foreign_package.path / "card.md").read_text().splitlines()
    assert lines[2].startswith("Converted from mbf.onnx (SHA-256 ")


def test_an_operator_that_cannot_be_converted_is_named_with_what_to_do(foreign: Path, tmp_path: Path) -> None:
    model = onnx.load(foreign)
    node = next(node for node in model.graph.node if node.op_type == "PRelu")
    node.op_type = "Elu"
    del node.input[1:]
    onnx.save(model, tmp_path / "elu.onnx")
    message = r"the operator Elu .* make it the teacher of a student by 'facekd route import'"
    with pytest.raises(ExportError, match=message):
        export(tmp_path / "elu.onnx", tmp_path / "p")
    assert [path.name for path in tmp_path.iterdir()] == ["elu.onnx"]


def test_a_network_of_facekd_takes_no_input_options(verified_run: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"--pixels has no effect.*knows how it is fed"):
        export(verified_run, tmp_path / "p", pixels="raw")


def test_losses_against_another_model_are_in_card_and_metadata(
    verified_run: Path, held_out: Path, exported: Package, tmp_path: Path
) -> None:
    package = export(verified_run, tmp_path / "p", precisions=["fp32"], pairs=held_out / "pairs.csv",
                     images=held_out / "faces", gates=["accuracy=100", "tar@1e-2=100"],
                     against=exported.path / "student.int8.onnx")
    validation = package.metadata["files"]["onnx fp32"]["validation"]
    assert validation["gates"] == ["accuracy=100", "tar@1e-2=100"]
    against = validation["verification"]["against"]
    assert against["sha256"] == exported.metadata["sha256"]["student.int8.onnx"]
    int8 = exported.metadata["files"]["onnx int8"]["validation"]["verification"]["file"]["accuracy"]
    fp32 = validation["verification"]["file"]["accuracy"]
    assert against["drop"]["accuracy"]["points"] == pytest.approx(100 * (int8 - fp32))
    assert "## Points lost against student.int8 [95 %]" in (package.path / "card.md").read_text()


def test_the_card_of_a_student_begins_with_its_teacher(verified_run: Path, tmp_path: Path) -> None:
    shutil.copytree(verified_run, tmp_path / "run", ignore=shutil.ignore_patterns("package"))
    info = json.loads((tmp_path / "run" / "run.json").read_text())
    teacher = {"name": "w600k.onnx", "sha256": "ab" * 32, "license": "CC-BY-NC-4.0"}
    (tmp_path / "run" / "run.json").write_text(json.dumps({**info, "teacher": teacher}))
    package = export(tmp_path / "run", tmp_path / "p", precisions=["fp32"])
    assert package.metadata["provenance"]["distilled_from"] == teacher
    lines = (package.path / "card.md").read_text().splitlines()
    assert lines[2] == f"Distilled from w600k.onnx (SHA-256 {'ab' * 32}), license: CC-BY-NC-4.0."
    assert lines[4].startswith("**Ask before shipping:** that license names a restricted use")


@pytest.mark.parametrize("arguments", [{"images": "i"}, {"gates": ["auc=0.5"]}, {"against": "m.onnx"}])
def test_arguments_of_the_pairs_need_pairs(verified_run: Path, tmp_path: Path, arguments: dict[str, Any]) -> None:
    with pytest.raises(ExportError, match="--images, --gate and --against belong to --pairs"):
        export(verified_run, tmp_path / "p", **arguments)


def test_both_rules_agree_on_every_written_file(exported: Package) -> None:
    for file in exported.path.glob("*.onnx"):
        embedder = OnnxEmbedder(file)
        assert embedder.notes == ()
        assert takes_raw_by_names(onnx.load(file).graph) == (embedder.input_format.pixels == "raw")


def test_a_network_that_tells_nobody_apart_is_noted(
    small_faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = build(ModelSpec("lenet", 32, 16, {}))
    with torch.no_grad():
        network.get_parameter("fc.weight").mul_(1e-4)
    save_model(network, tmp_path / "constant.safetensors")
    package = export(tmp_path / "constant.safetensors", tmp_path / "p", precisions=["fp32"], calibration=small_faces)
    assert "nearly the same embedding" in package.metadata["provenance"]["plausibility"]
    assert "nearly the same embedding" in capsys.readouterr().err
