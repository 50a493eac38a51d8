from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from facekd.errors import ExportError
from facekd.files import sha256
from facekd.models.embedder import Embedder
from facekd.models.registry import Network
from facekd.packaging.cosines import cosines, normalise
from facekd.packaging.source import Form, Interface, Source, freeze
from facekd.packaging.targets import litert as module
from facekd.packaging.targets.litert import LiteRTTarget
from facekd.packaging.targets.target import Made, target_of

pytest.importorskip("litert_torch", reason="pip install 'facekd[litert]'")
from ai_edge_litert.interpreter import Interpreter

TARGET = LiteRTTarget()
OUTSIDE, INSIDE = Form(), Form("uint8", unit=True)


@pytest.fixture(scope="module")
def source(tiny: Network, crops: NDArray[np.uint8]) -> Source:
    return freeze(tiny, OUTSIDE, "student", crops)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tflite")


@pytest.fixture(scope="module")
def made(source: Source, folder: Path) -> Made:
    return TARGET.convert(source, "fp32", folder)


@pytest.fixture(scope="module")
def embedder(made: Made, source: Source) -> Embedder:
    return TARGET.open(made.files, source.interface)


@pytest.fixture(scope="module")
def made_inside(tiny: Network, crops: NDArray[np.uint8], tmp_path_factory: pytest.TempPathFactory) -> tuple[Made, Made]:
    source = freeze(tiny, INSIDE, "student", crops)
    folder = tmp_path_factory.mktemp("inside")
    return TARGET.convert(source, "fp32", folder), TARGET.convert(source, "int8", folder)


def test_it_is_found_by_name() -> None:
    assert isinstance(target_of("litert"), LiteRTTarget)


def test_one_file_is_written_and_nothing_else(made: Made, folder: Path) -> None:
    assert made.files == (folder / "student.tflite",)
    assert list(folder.iterdir()) == [folder / "student.tflite"]


@pytest.mark.parametrize("batch", [0, 1, 2, 7])
def test_the_file_answers_as_the_network_at_any_batch(
    embedder: Embedder, source: Source, crops: NDArray[np.uint8], batch: int
) -> None:
    np.testing.assert_allclose(embedder.forward(crops[:batch]), source.embed(crops)[:batch], atol=1e-4)


def test_scaling_and_unit_length_can_lie_inside(
    made_inside: tuple[Made, Made], source: Source, crops: NDArray[np.uint8]
) -> None:
    found = TARGET.open(made_inside[0].files, Interface(112, 8, INSIDE)).forward(crops[:3])
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    assert np.abs(normalise(found) - normalise(source.embed(crops[:3]))).max() < 1e-5


def test_int8_stays_near_the_network_and_is_smaller(
    made_inside: tuple[Made, Made], source: Source, crops: NDArray[np.uint8]
) -> None:
    fp32, int8 = (files.files[0] for files in made_inside)
    assert int8.name == "student.int8.tflite"
    assert int8.stat().st_size < 0.8 * fp32.stat().st_size
    found = TARGET.open((int8,), Interface(112, 8, INSIDE)).forward(crops)
    assert cosines(found, source.embed(crops)).mean > 0.98


def test_the_embedder_is_named_and_fingerprinted_by_its_file(made: Made, embedder: Embedder) -> None:
    assert (embedder.name, embedder.size, embedder.dimension) == ("student", 112, 8)
    assert embedder.fingerprint == sha256(made.files[0])


def test_threads_reach_the_interpreter(made: Made, source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def watched(path: str, num_threads: int) -> Interpreter:
        asked.append(num_threads)
        return Interpreter(path, num_threads=num_threads)

    monkeypatch.setattr("ai_edge_litert.interpreter.Interpreter", watched)
    TARGET.open(made.files, source.interface, threads=2)
    assert asked == [2]


def test_crops_of_another_size_are_refused(embedder: Embedder) -> None:
    with pytest.raises(ExportError, match=r"fails on a crop of \[64, 64, 3\]"):
        embedder.forward(np.zeros((2, 64, 64, 3), np.uint8))


def test_a_file_of_another_interface_is_refused(made: Made) -> None:
    with pytest.raises(ExportError, match="another model's file"):
        TARGET.open(made.files, Interface(112, 9, OUTSIDE))


@pytest.mark.parametrize("keep", [0, 40, 0.5])
def test_a_damaged_file_is_refused(made: Made, source: Source, tmp_path: Path, keep: float) -> None:
    content = made.files[0].read_bytes()
    path = tmp_path / "cut.tflite"
    path.write_bytes(content[: int(keep * len(content)) if keep < 1 else int(keep)])
    with pytest.raises(ExportError, match="cannot be opened by LiteRT"):
        TARGET.open((path,), source.interface)


def test_an_absent_file_is_refused(source: Source, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="does not exist"):
        TARGET.open((tmp_path / "none.tflite",), source.interface)


def test_int8_without_crops_is_refused(tiny: Network, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="calibration crops"):
        TARGET.convert(freeze(tiny, OUTSIDE, "student"), "int8", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_failure_of_the_converter_is_one_sentence_and_leaves_nothing(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(source: Source) -> bytes:
        raise RuntimeError("no kernel\nfor aten.eye")

    monkeypatch.setattr(module, "_lower", fail)
    with pytest.raises(ExportError, match=r"tiny could not .* litert fp32 \(RuntimeError: no kernel for aten.eye"):
        TARGET.convert(source, "fp32", tmp_path)
    assert list(tmp_path.iterdir()) == []
