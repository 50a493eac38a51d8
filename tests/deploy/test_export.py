from __future__ import annotations

import hashlib
import importlib.util
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from facekd.data.pairs.pair_set import PairSet
from facekd.deploy.export import resolve_targets, write_package
from facekd.deploy.package import Package
from facekd.deploy.source import ExportFormat, ExportSource
from facekd.deploy.targets import ConvertedFiles
from facekd.deploy.targets.base import Precision, registered
from facekd.deploy.targets.onnx import OnnxTarget
from facekd.deploy.validation import ExportValidator
from facekd.deploy.validation_gate import DEFAULT_GATE, Gate
from facekd.errors import ExportError
from facekd.io.files import read_versioned
from facekd.models.onnx_embedder import OnnxEmbedder
from tests.deploy.conftest import ONNX_FILES, UnavailableTarget


class BrokenInt8Target(OnnxTarget):
    """Its int8 files have a last layer of zeros, so that all faces have the same embedding."""

    def convert(self, source: ExportSource, precision: Precision, folder: Path) -> ConvertedFiles:
        converted = super().convert(source, precision, folder)
        if precision == "int8":
            proto = onnx.load(str(converted.files[0]))
            weights = next(t for t in proto.graph.initializer if t.name.startswith("network.layers.8.weight_quantized"))
            weights.CopyFrom(onnx.numpy_helper.from_array(0 * onnx.numpy_helper.to_array(weights), weights.name))
            onnx.save(proto, str(converted.files[0]))
        return converted


@pytest.fixture(scope="module")
def metadata(exported_package: Package) -> dict[str, Any]:
    return read_versioned(exported_package.path / "metadata.json", "package", 4, ExportError)


def test_it_holds_the_requested_files_and_nothing_is_left_next_to_it(exported_package: Package) -> None:
    assert {p.name for p in exported_package.path.iterdir()} == {
        "tiny.onnx", "tiny.fp16.onnx", "tiny.int8.onnx", "tiny.else", "card.md", "metadata.json"
    }
    assert list(exported_package.path.parent.iterdir()) == [exported_package.path]


def test_metadata_are_of_version_4_and_describe_what_the_target_returned(tmp_path: Path, source: ExportSource) -> None:
    with registered(UnavailableTarget):
        package = write_package(source, tmp_path / "p", [("elsewhere", "fp32")], ExportValidator(source), results={},
                                provenance={})
    metadata = json.loads((tmp_path / "p" / "metadata.json").read_text())
    report = {"status": "not run", "gates": [], "note": "it runs elsewhere only", "cosine": "not run",
              "verification": "not run", "similarities": None}
    assert metadata["version"] == 4
    assert metadata["files"] == package.metadata["files"] == {"elsewhere fp32": {
        "target": "elsewhere", "precision": "fp32", "files": ["tiny.else"], "bytes": 5,
        "versions": {"numpy": np.__version__}, "notes": ["It is a folder.", "it runs elsewhere only"],
        "validation": report, "latency": "not run", "device_command": "bench tiny.else 112 1",
    }}


def test_every_file_has_its_checksum(exported_package: Package, metadata: dict[str, Any]) -> None:
    inside = [p for p in exported_package.path.rglob("*") if p.is_file() and p.name != "metadata.json"]
    sums = {p.relative_to(exported_package.path).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in inside}
    assert metadata["sha256"] == sums
    assert "tiny.else/deep/weights" in sums


def test_metadata_say_what_was_given_and_what_is_unknown(metadata: dict[str, Any]) -> None:
    assert metadata["provenance"] == {"license_code": "Apache-2.0", "license_weights": "unknown",
                                      "license_data": "CC0", "run": "abc"}
    assert (metadata["size"], metadata["dimension"]) == (112, 8)
    assert metadata["io_format"] == {"input_dtype": "float", "l2_normalized": False}
    assert metadata["macs"] == 56 * 56 * 8 * 27 + 28 * 28 * 16 * 72 + 256 * 8


def test_each_file_is_described(exported_package: Package, metadata: dict[str, Any]) -> None:
    assert list(metadata["files"]) == ["onnx fp32", "onnx fp16", "onnx int8", "elsewhere fp32"]
    for (target, precision), entry in zip(ONNX_FILES, metadata["files"].values(), strict=False):
        (name,) = entry["files"]
        assert (entry["target"], entry["precision"]) == (target, precision)
        assert entry["bytes"] == (exported_package.path / name).stat().st_size
        assert set(entry["versions"]) == {"onnx", "onnxscript", "onnxruntime"}
        assert entry["latency"]["repeats"] == 100
        assert name in entry["device_command"]


def test_each_file_has_its_own_validation_report(
    exported_package: Package, metadata: dict[str, Any], source: ExportSource
) -> None:
    crops = source.calibration
    assert crops is not None
    network = source.embed(crops).astype(np.float64)
    for target, precision in ONNX_FILES:
        entry = metadata["files"][f"{target} {precision}"]
        file = OnnxEmbedder(exported_package.path / entry["files"][0]).forward(crops).astype(np.float64)
        cosines = (file * network).sum(1) / np.linalg.norm(file, axis=1) / np.linalg.norm(network, axis=1)
        assert entry["validation"]["cosine"]["crops"]["7"]["minimum"] == pytest.approx(cosines.min(), abs=1e-5)
        assert entry["validation"]["status"] in ("passed", "warned")
        assert entry["validation"]["verification"]["pairs_file"] == "pairs.bin"


def test_a_file_that_was_not_run_is_marked(exported_package: Package, metadata: dict[str, Any]) -> None:
    entry = metadata["files"]["elsewhere fp32"]
    assert entry["latency"] == entry["validation"]["status"] == entry["validation"]["cosine"] == "not run"
    assert entry["bytes"] == 5
    assert entry["device_command"] == "bench tiny.else 112 1"
    assert entry["notes"] == ["It is a folder.", "it runs elsewhere only"]
    row = next(line for line in (exported_package.path / "card.md").read_text().splitlines() if "tiny.else" in line)
    assert row == "| tiny.else (elsewhere fp32) | 5 | not run | not measured | not run | not run |"


def test_a_package_without_a_target_is_refused() -> None:
    with pytest.raises(ExportError, match="no target was named"):
        resolve_targets([], [], True)


@pytest.mark.parametrize("file_format", [
    ExportFormat(), ExportFormat("float", True), ExportFormat("uint8"), ExportFormat("uint8", True)
])
def test_the_program_in_the_card_runs(
    source: ExportSource, crops: NDArray[np.uint8], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    file_format: ExportFormat,
) -> None:
    source = replace(source, format=file_format)
    package = write_package(source, tmp_path / "p", ONNX_FILES[:1], ExportValidator(source), results={}, provenance={})
    monkeypatch.chdir(package.path)
    names: dict[str, Any] = {"faces": crops}
    exec((package.path / "card.md").read_text().split("```python")[1].split("```")[0], names)
    expected = source.embed(crops)
    np.testing.assert_allclose(
        names["embedding"], expected / np.linalg.norm(expected, axis=1, keepdims=True), atol=1e-5
    )


def test_without_pairs_nothing_is_said_of_accuracy(source: ExportSource, tmp_path: Path) -> None:
    validator = ExportValidator(source, gates=[Gate("accuracy", 0)])
    package = write_package(source, tmp_path / "p", ONNX_FILES[:1], validator, results={}, provenance={})
    assert package.metadata["files"]["onnx fp32"]["validation"]["status"] == "not measured"
    assert "accuracy" not in package.describe()
    assert "## Verification" not in (package.path / "card.md").read_text()


def test_files_that_share_a_command_share_it_in_the_card(source: ExportSource, tmp_path: Path,
                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OnnxTarget, "times_graph_only", True)
    package = write_package(source, tmp_path / "p", ONNX_FILES[:2], ExportValidator(source), results={}, provenance={})
    first, second = (entry["device_command"] for entry in package.metadata["files"].values())
    assert first == second == OnnxTarget.device_command.format(files="tiny.onnx", size=112, threads=1)
    section = (package.path / "card.md").read_text().split("## Time it on a device")[1]
    assert f"onnx fp32, onnx fp16:\n\n```sh\n{first}\n```\n" in section
    assert section.count("tiny.onnx\n") == 1


def test_the_gate_refuses_the_whole_package_and_names_file_and_layer(
    source: ExportSource, pairs: PairSet, tmp_path: Path
) -> None:
    validator = ExportValidator(source, pairs=pairs, gates=[DEFAULT_GATE])
    message = r"tiny\.int8\.onnx was refused: .* --gate accuracy=0\.3 allows; most is lost in layers\.8"
    with registered(BrokenInt8Target), pytest.raises(ExportError, match=message):
        write_package(source, tmp_path / "p", ONNX_FILES, validator, results={}, provenance={})
    assert list(tmp_path.iterdir()) == []


def test_an_existing_package_is_not_touched(source: ExportSource, tmp_path: Path) -> None:
    (tmp_path / "card.md").write_text("mine")
    with pytest.raises(ExportError, match="not an empty folder"):
        write_package(source, tmp_path, ONNX_FILES, ExportValidator(source), results={}, provenance={})
    assert (tmp_path / "card.md").read_text() == "mine"


@pytest.mark.parametrize("name", ["", "../t", "a/b", "."])
def test_a_name_that_is_no_file_name_is_refused(source: ExportSource, tmp_path: Path, name: str) -> None:
    renamed = replace(source, name=name)
    with pytest.raises(ExportError, match=r"the package's name .* is no plain name"):
        write_package(renamed, tmp_path / "p", ONNX_FILES, ExportValidator(source), results={}, provenance={})
    assert list(tmp_path.iterdir()) == []


def test_all_precisions_are_the_default_but_int8_only_with_calibration() -> None:
    assert resolve_targets(["onnx"], [], True) == ONNX_FILES
    assert resolve_targets(["onnx"], [], False) == ONNX_FILES[:2]


def test_only_the_requested_precisions_are_exported() -> None:
    with registered(UnavailableTarget):
        files = resolve_targets(["elsewhere", "onnx"], ["fp32"], False)
    assert files == [("elsewhere", "fp32"), ("onnx", "fp32")]


@pytest.mark.parametrize(("targets", "precisions", "message"), [
    (["onx"], [], "unknown target 'onx'.*onnx"),
    (["elsewhere"], ["int8"], "elsewhere: no file in int8; offered are fp32"),
    (["onnx"], ["int8"], "--calibration"),
])
def test_targets_and_precisions_that_cannot_be_exported_are_refused(
    targets: list[str], precisions: list[Precision], message: str
) -> None:
    with registered(UnavailableTarget), pytest.raises(ExportError, match=message):
        resolve_targets(targets, precisions, False)


def test_a_target_that_is_not_installed_says_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ExportError, match=r"ncnn files need .*: pip install 'facekd\[ncnn\]'"):
        resolve_targets(["ncnn"], [], False)
