from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from facekd.errors import ExportError
from facekd.files import read_versioned
from facekd.models.onnx_embedder import OnnxEmbedder
from facekd.models.registry import Network
from facekd.packaging import package
from facekd.packaging.package import PackageSummary, write_package


@pytest.fixture(scope="module")
def written(tiny: Network, crops: NDArray[np.uint8], tmp_path_factory: pytest.TempPathFactory) -> PackageSummary:
    return write_package(
        tiny, tmp_path_factory.mktemp("package") / "phone", name="tiny", calibration_crops=crops,
        results={"CFP-FF accuracy": 0.9}, provenance={"run": "abc", "licence_data": "CC0"}, calibration_images=6,
        score=lambda embedder: {"first": float(embedder.embed(crops[:1])[0, 0])},
    )


def test_it_holds_the_four_files_and_nothing_is_left_beside_it(written: PackageSummary) -> None:
    assert {p.name for p in written.path.iterdir()} == {"tiny.onnx", "tiny.int8.onnx", "card.md", "metadata.json"}
    assert list(written.path.parent.iterdir()) == [written.path]


def test_the_checksums_are_those_of_the_files(written: PackageSummary) -> None:
    content = read_versioned(written.path / "metadata.json", "package", 1, ExportError)
    files = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in written.path.iterdir()}
    assert content["sha256"] == {name: value for name, value in files.items() if name != "metadata.json"}


def test_metadata_says_what_was_given_and_what_is_unknown(written: PackageSummary) -> None:
    content = read_versioned(written.path / "metadata.json", "package", 1, ExportError)
    assert content["provenance"] == {"licence_model": "unknown", "licence_data": "CC0", "run": "abc"}
    assert (content["size"], content["dimension"], content["results"]) == (112, 8, {"CFP-FF accuracy": 0.9})
    assert content["macs"] == 56 * 56 * 8 * 27 + 28 * 28 * 16 * 72 + 256 * 8


def test_each_file_carries_its_own_score(written: PackageSummary, crops: NDArray[np.uint8]) -> None:
    files = read_versioned(written.path / "metadata.json", "package", 1, ExportError)["files"]
    for entry in files.values():
        expected = OnnxEmbedder(written.path / entry["name"]).embed(crops[:1])[0, 0]
        assert entry["score"]["first"] == pytest.approx(float(expected), abs=1e-5)
    assert files["float"]["score"] != files["int8"]["score"]


def test_the_summary_points_into_the_finished_folder(written: PackageSummary) -> None:
    assert written.int8 is not None
    assert OnnxEmbedder(written.onnx.path).dimension == OnnxEmbedder(written.int8.path).dimension == 8


def test_the_card_runs_as_it_stands(
    written: PackageSummary, crops: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(written.path)
    names: dict[str, object] = {"faces": crops}
    exec((written.path / "card.md").read_text().split("```")[1].removeprefix("python"), names)
    np.testing.assert_allclose(names["embedding"], OnnxEmbedder(written.onnx.path).embed(crops, flip=False), atol=1e-5)


def test_a_failure_midway_leaves_nothing(
    tiny: Network, crops: NDArray[np.uint8], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ExportError("refused")

    monkeypatch.setattr(package, "quantize_onnx", refuse)
    with pytest.raises(ExportError, match="refused"):
        write_package(tiny, tmp_path / "p", name="t", calibration_crops=crops, results={}, provenance={})
    assert list(tmp_path.iterdir()) == []


def test_an_existing_package_is_not_touched(tiny: Network, tmp_path: Path) -> None:
    (tmp_path / "card.md").write_text("mine")
    with pytest.raises(ExportError, match="not an empty folder"):
        write_package(tiny, tmp_path, name="t", calibration_crops=None, results={}, provenance={})
    assert (tmp_path / "card.md").read_text() == "mine"


def test_a_name_with_a_folder_is_refused(tiny: Network, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="plain file name"):
        write_package(tiny, tmp_path / "p", name="../t", calibration_crops=None, results={}, provenance={})
