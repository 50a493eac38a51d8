from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from facekd.data.synthetic import render, write_faces, write_pairs
from facekd.errors import DataError, ExportError, ModelError
from facekd.models.loading import load
from facekd.models.weights import load_model
from facekd.packaging.package import Package
from facekd.packaging.source import Form, freeze
from facekd.runs import Run
from facekd.verbs.evaluate import verify
from facekd.verbs.export import export
from facekd.verbs.report import report

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


def test_every_file_is_verified_as_eval_verify_does_it(exported: Package, measured: Path, strangers: Path) -> None:
    truth = json.loads((measured / "results" / "verify-strangers.json").read_text())
    for entry in exported.metadata["files"].values():
        verification = entry["proof"]["verification"]
        assert verification["network"]["accuracy"] == truth["accuracy"]
        own = verify(exported.path / entry["files"][0], strangers / "pairs.csv", strangers / "faces")
        assert verification["file"]["accuracy"] == own.accuracy


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
    package = export(measured / "model.safetensors", tmp_path / "p", name="phone")
    assert {p.name for p in package.path.glob("*.onnx")} == {"phone.onnx", "phone.fp16.onnx"}
    assert set(package.metadata["provenance"]) == {"licence_model", "licence_data", "exported_on"}


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


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with pytest.raises(ModelError):
        export(tmp_path / "run", tmp_path / "p")


def test_a_limit_below_nothing_is_refused(measured: Path, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="max-drop is -1"):
        export(measured, tmp_path / "p", max_drop=-1)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What ``export`` was called with from the command line."""
    calls: list[tuple[Any, ...]] = []

    def record(*words: Any) -> Package:
        calls.append(words)
        return Package(Path("p"), {"parameters": 1, "macs": 1, "files": {}})

    monkeypatch.setattr("facekd.verbs.export.export", record)
    return calls


def test_the_command_line_alone(call: Callable[..., int], given: list[tuple[Any, ...]]) -> None:
    assert call("export", "run", "p") == 0
    assert given == [("run", "p", None, None, None, None, ["onnx"], [], 0.3, "float", False)]


def test_the_command_line_with_all_it_takes(call: Callable[..., int], given: list[tuple[Any, ...]]) -> None:
    words = ("--to onnx,ncnn --precision fp32,int8 --calibration f --pairs c.csv --images i --max-drop 0.5 "
             "--input uint8 --unit --name n")
    assert call("export", "run", "p", *words.split()) == 0
    assert given == [("run", "p", "f", "c.csv", "i", "n", ["onnx", "ncnn"], ["fp32", "int8"], 0.5, "uint8", True)]


@pytest.mark.parametrize(("words", "said"), [
    ("--to onx", "unknown target 'onx'"), ("--precision int9", "no file in int9"), ("--precision int8", "--calibration")
])
def test_wishes_that_cannot_be_met_end_with_2(
    call: Callable[..., int], measured: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: str, said: str
) -> None:
    assert call("export", measured, tmp_path / "p", *words.split()) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("facekd: ") and said in line
