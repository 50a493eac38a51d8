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
from facekd.deploy.export import wishes, write_package
from facekd.deploy.package import Package
from facekd.deploy.source import Form, Source
from facekd.deploy.targets import Made
from facekd.deploy.targets.base import _TARGETS, Precision
from facekd.deploy.targets.onnx import OnnxTarget
from facekd.deploy.validation import Prover
from facekd.deploy.validation_gate import Gate
from facekd.errors import ExportError
from facekd.models.onnx_embedder import OnnxEmbedder
from facekd.utils.files import read_versioned
from tests.deploy.conftest import ALL, Elsewhere


class Broken(OnnxTarget):
    """Its int8 files have a last layer of zeros: all faces are alike."""

    def convert(self, source: Source, precision: Precision, folder: Path) -> Made:
        made = super().convert(source, precision, folder)
        if precision == "int8":
            proto = onnx.load(str(made.files[0]))
            weights = next(t for t in proto.graph.initializer if t.name.startswith("network.layers.8.weight_quantized"))
            weights.CopyFrom(onnx.numpy_helper.from_array(0 * onnx.numpy_helper.to_array(weights), weights.name))
            onnx.save(proto, str(made.files[0]))
        return made


@pytest.fixture(scope="module")
def content(written: Package) -> dict[str, Any]:
    return read_versioned(written.path / "metadata.json", "package", 2, ExportError)


def test_it_holds_the_files_of_every_wish_and_nothing_is_left_beside_it(written: Package) -> None:
    assert {p.name for p in written.path.iterdir()} == {
        "tiny.onnx", "tiny.fp16.onnx", "tiny.int8.onnx", "tiny.else", "card.md", "metadata.json"
    }
    assert list(written.path.parent.iterdir()) == [written.path]


def test_metadata_are_of_version_2_and_what_the_package_says(written: Package, content: dict[str, Any]) -> None:
    assert content["version"] == 2
    assert content["files"] == json.loads(json.dumps(written.metadata["files"]))


def test_every_file_has_its_checksum(written: Package, content: dict[str, Any]) -> None:
    inside = [p for p in written.path.rglob("*") if p.is_file() and p.name != "metadata.json"]
    sums = {p.relative_to(written.path).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in inside}
    assert content["sha256"] == sums
    assert "tiny.else/deep/weights" in sums


def test_metadata_say_what_was_given_and_what_is_unknown(content: dict[str, Any]) -> None:
    assert content["provenance"] == {"licence_code": "Apache-2.0", "licence_weights": "unknown",
                                     "licence_data": "CC0", "run": "abc"}
    assert (content["size"], content["dimension"], content["form"]) == (112, 8, {"pixels": "float", "unit": False})
    assert content["macs"] == 56 * 56 * 8 * 27 + 28 * 28 * 16 * 72 + 256 * 8


def test_each_file_is_described(written: Package, content: dict[str, Any]) -> None:
    assert list(content["files"]) == ["onnx fp32", "onnx fp16", "onnx int8", "elsewhere fp32"]
    for (target, precision), entry in zip(ALL, content["files"].values(), strict=False):
        (name,) = entry["files"]
        assert (entry["target"], entry["precision"]) == (target, precision)
        assert entry["bytes"] == (written.path / name).stat().st_size
        assert set(entry["versions"]) == {"onnx", "onnxscript", "onnxruntime"}
        assert entry["latency"]["repeats"] == 100
        assert name in entry["device"]


def test_each_file_carries_its_own_proof(written: Package, content: dict[str, Any], source: Source) -> None:
    crops = source.calibration
    assert crops is not None
    wanted = source.embed(crops).astype(np.float64)
    for target, precision in ALL:
        entry = content["files"][f"{target} {precision}"]
        found = OnnxEmbedder(written.path / entry["files"][0]).forward(crops).astype(np.float64)
        expected = (found * wanted).sum(1) / np.linalg.norm(found, axis=1) / np.linalg.norm(wanted, axis=1)
        assert entry["proof"]["cosine"]["crops"]["7"]["minimum"] == pytest.approx(expected.min(), abs=1e-5)
        assert entry["proof"]["standing"] in ("passed", "warned")
        assert entry["proof"]["verification"]["pairs_file"] == "pairs.bin"


def test_a_file_that_was_not_run_is_marked(written: Package, content: dict[str, Any]) -> None:
    entry = content["files"]["elsewhere fp32"]
    assert entry["latency"] == entry["proof"]["standing"] == entry["proof"]["cosine"] == "not run"
    assert entry["bytes"] == 5
    assert entry["device"] == "bench tiny.else 112 1"
    assert entry["notes"] == ["It is a folder.", "it runs elsewhere only"]
    row = next(line for line in (written.path / "card.md").read_text().splitlines() if "tiny.else" in line)
    assert row == "| tiny.else (elsewhere fp32) | 5 | not run | not measured | not run | not run |"


def test_a_package_without_a_target_is_refused() -> None:
    with pytest.raises(ExportError, match="no target was named"):
        wishes([], [], True)


@pytest.mark.parametrize("form", [Form(), Form("float", True), Form("uint8"), Form("uint8", True)])
def test_the_card_runs_as_it_stands(
    source: Source, crops: NDArray[np.uint8], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: Form
) -> None:
    formed = replace(source, form=form)
    package = write_package(formed, tmp_path / "p", ALL[:1], Prover(formed), results={}, provenance={})
    monkeypatch.chdir(package.path)
    names: dict[str, Any] = {"faces": crops}
    exec((package.path / "card.md").read_text().split("```python")[1].split("```")[0], names)
    wanted = source.embed(crops)
    np.testing.assert_allclose(
        names["embedding"], wanted / np.linalg.norm(wanted, axis=1, keepdims=True), atol=1e-5
    )


def test_without_pairs_nothing_is_said_of_accuracy(source: Source, tmp_path: Path) -> None:
    package = write_package(source, tmp_path / "p", ALL[:1], Prover(source, gate=Gate(0)), results={}, provenance={})
    assert package.metadata["files"]["onnx fp32"]["proof"]["standing"] == "not measured"
    assert "accuracy" not in package.describe()
    assert "## Verification" not in (package.path / "card.md").read_text()


def test_files_that_share_a_command_share_it_in_the_card(source: Source, tmp_path: Path,
                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OnnxTarget, "weightless", True)
    package = write_package(source, tmp_path / "p", ALL[:2], Prover(source), results={}, provenance={})
    first, second = (entry["device"] for entry in package.metadata["files"].values())
    assert first == second == OnnxTarget.device.format(files="tiny.onnx", size=112, threads=1)
    section = (package.path / "card.md").read_text().split("## Time it on a device")[1]
    assert f"onnx fp32, onnx fp16:\n\n```sh\n{first}\n```\n" in section
    assert section.count("tiny.onnx\n") == 1


def test_the_gate_refuses_the_whole_package_and_names_file_and_layer(
    source: Source, pairs: PairSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(_TARGETS, "onnx", Broken)
    with pytest.raises(ExportError, match=r"tiny\.int8\.onnx was refused: .* max-drop 0\.3; most is lost in layers\.8"):
        write_package(source, tmp_path / "p", ALL, Prover(source, pairs=pairs, gate=Gate(0.3)), results={},
                      provenance={})
    assert list(tmp_path.iterdir()) == []


def test_an_existing_package_is_not_touched(source: Source, tmp_path: Path) -> None:
    (tmp_path / "card.md").write_text("mine")
    with pytest.raises(ExportError, match="not an empty folder"):
        write_package(source, tmp_path, ALL, Prover(source), results={}, provenance={})
    assert (tmp_path / "card.md").read_text() == "mine"


@pytest.mark.parametrize("name", ["", "../t", "a/b", "."])
def test_a_name_that_is_no_file_name_is_refused(source: Source, tmp_path: Path, name: str) -> None:
    with pytest.raises(ExportError, match="plain file name"):
        write_package(replace(source, name=name), tmp_path / "p", ALL, Prover(source), results={}, provenance={})
    assert list(tmp_path.iterdir()) == []


def test_all_precisions_are_wished_for_but_int8_only_with_calibration() -> None:
    assert wishes(["onnx"], [], True) == ALL
    assert wishes(["onnx"], [], False) == ALL[:2]


def test_wishes_are_of_the_precisions_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(_TARGETS, "elsewhere", Elsewhere)
    assert wishes(["elsewhere", "onnx"], ["fp32"], False) == [("elsewhere", "fp32"), ("onnx", "fp32")]


@pytest.mark.parametrize(("targets", "precisions", "said"), [
    (["onx"], [], "unknown target 'onx'.*onnx"),
    (["elsewhere"], ["int8"], "elsewhere: no file in int8; offered are fp32"),
    (["onnx"], ["int8"], "--calibration"),
])
def test_wishes_that_cannot_be_met_are_refused(
    monkeypatch: pytest.MonkeyPatch, targets: list[str], precisions: list[Precision], said: str
) -> None:
    monkeypatch.setitem(_TARGETS, "elsewhere", Elsewhere)
    with pytest.raises(ExportError, match=said):
        wishes(targets, precisions, False)


def test_a_target_that_is_not_installed_says_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ExportError, match=r"ncnn files need .*: pip install 'facekd\[ncnn\]'"):
        wishes(["ncnn"], [], False)
