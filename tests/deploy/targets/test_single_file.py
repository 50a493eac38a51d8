"""The common behavior of the targets for ExecuTorch and LiteRT: one file, any number of images, the same errors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from facekd.deploy.source import ExportFormat, ExportSource, IOSpec, prepare_source
from facekd.deploy.targets.base import ConvertedFiles, Target, get_target
from facekd.deploy.validation_gate import summarize_cosines
from facekd.errors import ExportError
from facekd.io.files import sha256
from facekd.models.embedder import Embedder
from facekd.models.registry import Network
from facekd.utils.functional import l2_normalize_rows

OUTSIDE, INSIDE = ExportFormat(), ExportFormat("uint8", l2_normalized=True)
TARGETS = {"executorch": ("executorch", "pte", 0.99), "litert": ("litert_torch", "tflite", 0.98)}
"""The library of each target, the extension of its file, and the lowest mean cosine of int8 files."""


@pytest.fixture(scope="module", params=TARGETS)
def name(request: pytest.FixtureRequest) -> str:
    pytest.importorskip(TARGETS[request.param][0], reason=f"pip install 'facekd[{request.param}]'")
    return str(request.param)


@pytest.fixture(scope="module")
def target(name: str) -> Target:
    return get_target(name)


@pytest.fixture(scope="module")
def source(tiny_network: Network, crops: NDArray[np.uint8]) -> ExportSource:
    return prepare_source(tiny_network, OUTSIDE, "student", crops)


@pytest.fixture(scope="module")
def folder(name: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp(name)


@pytest.fixture(scope="module")
def converted(target: Target, source: ExportSource, folder: Path) -> ConvertedFiles:
    return target.convert(source, "fp32", folder)


@pytest.fixture(scope="module")
def embedder(target: Target, converted: ConvertedFiles, source: ExportSource) -> Embedder:
    return target.open(converted.files, source.io_spec)


@pytest.fixture(scope="module")
def converted_inside(
    target: Target, tiny_network: Network, crops: NDArray[np.uint8], tmp_path_factory: pytest.TempPathFactory
) -> tuple[ConvertedFiles, ConvertedFiles]:
    """The fp32 and the int8 file with scaling and L2 normalization inside."""
    source = prepare_source(tiny_network, INSIDE, "student", crops)
    folder = tmp_path_factory.mktemp("inside")
    return target.convert(source, "fp32", folder), target.convert(source, "int8", folder)


def test_one_file_is_written_and_nothing_else(name: str, converted: ConvertedFiles, folder: Path) -> None:
    assert converted.files == (folder / f"student.{TARGETS[name][1]}",)
    assert list(folder.iterdir()) == list(converted.files)


@pytest.mark.parametrize("batch", [0, 1, 2, 7, 20])  # the largest batch of an ExecuTorch file is 16
def test_the_file_gives_the_embeddings_of_the_network_at_any_batch(
    embedder: Embedder, source: ExportSource, crops: NDArray[np.uint8], batch: int
) -> None:
    np.testing.assert_allclose(embedder.forward(crops[:batch]), source.embed(crops)[:batch], atol=1e-4)


def test_scaling_and_unit_length_can_be_inside(
    target: Target, converted_inside: tuple[ConvertedFiles, ConvertedFiles], source: ExportSource,
    crops: NDArray[np.uint8],
) -> None:
    embeddings = target.open(converted_inside[0].files, IOSpec(112, 8, INSIDE)).forward(crops[:3])
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)
    assert np.abs(l2_normalize_rows(embeddings) - l2_normalize_rows(source.embed(crops[:3]))).max() < 1e-5


def test_int8_stays_near_the_network_and_is_smaller(
    name: str, target: Target, converted_inside: tuple[ConvertedFiles, ConvertedFiles], source: ExportSource,
    crops: NDArray[np.uint8],
) -> None:
    fp32, int8 = (files.files[0] for files in converted_inside)
    assert int8.name == f"student.int8.{TARGETS[name][1]}"
    assert int8.stat().st_size < 0.8 * fp32.stat().st_size
    embeddings = target.open((int8,), IOSpec(112, 8, INSIDE)).forward(crops)
    assert summarize_cosines(embeddings, source.embed(crops)).mean > TARGETS[name][2]


def test_the_embedder_is_named_and_fingerprinted_by_its_file(converted: ConvertedFiles, embedder: Embedder) -> None:
    assert (embedder.name, embedder.size, embedder.dimension) == ("student", 112, 8)
    assert embedder.fingerprint == sha256(converted.files[0])


def test_a_file_of_another_io_spec_is_refused(target: Target, converted: ConvertedFiles) -> None:
    with pytest.raises(ExportError, match="another model's file"):
        target.open(converted.files, IOSpec(112, 9, OUTSIDE))


@pytest.mark.parametrize("length", [0, 40, 0.5])
def test_a_damaged_file_is_refused(
    target: Target, converted: ConvertedFiles, source: ExportSource, tmp_path: Path, length: float
) -> None:
    content = converted.files[0].read_bytes()
    path = tmp_path / f"cut{converted.files[0].suffix}"
    path.write_bytes(content[: int(length * len(content)) if length < 1 else int(length)])
    with pytest.raises(ExportError, match=r"cannot be opened by (ExecuTorch|LiteRT)"):
        target.open((path,), source.io_spec)


def test_an_absent_file_is_refused(target: Target, source: ExportSource, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="does not exist"):
        target.open((tmp_path / "none",), source.io_spec)


def test_int8_without_crops_is_refused(target: Target, tiny_network: Network, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="calibration crops"):
        target.convert(prepare_source(tiny_network, OUTSIDE, "student"), "int8", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_failure_of_the_converter_is_one_sentence_and_leaves_nothing(
    name: str, target: Target, source: ExportSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> bytes:
        raise RuntimeError("no kernel\nfor aten.eye")

    monkeypatch.setattr(type(target), "lower", fail)
    with pytest.raises(ExportError, match=rf"tiny could not .* {name} fp32 \(RuntimeError: no kernel for aten.eye"):
        target.convert(source, "fp32", tmp_path)
    assert list(tmp_path.iterdir()) == []
