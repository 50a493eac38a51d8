"""What ExecuTorch's and LiteRT's targets have in common: one file, any number of images, and the same refusals."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from numpy.typing import NDArray

from facekd.deploy.source import Form, Interface, Source, freeze
from facekd.deploy.targets.base import Made, Target, target_of
from facekd.deploy.validation_gate import cosines, normalise
from facekd.errors import ExportError
from facekd.models.embedder import Embedder
from facekd.models.registry import Network
from facekd.utils.files import sha256

OUTSIDE, INSIDE = Form(), Form("uint8", unit=True)
KINDS = {"executorch": ("executorch", "pte", 0.99), "litert": ("litert_torch", "tflite", 0.98)}
"""Each target's library, the ending of its file, and the least mean cosine of int8."""


@pytest.fixture(scope="module", params=KINDS)
def name(request: pytest.FixtureRequest) -> str:
    pytest.importorskip(KINDS[request.param][0], reason=f"pip install 'facekd[{request.param}]'")
    return str(request.param)


@pytest.fixture(scope="module")
def target(name: str) -> Target:
    return target_of(name)


@pytest.fixture(scope="module")
def module(name: str) -> ModuleType:
    return import_module(f"facekd.deploy.targets.{name}")


@pytest.fixture(scope="module")
def source(tiny: Network, crops: NDArray[np.uint8]) -> Source:
    return freeze(tiny, OUTSIDE, "student", crops)


@pytest.fixture(scope="module")
def folder(name: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp(name)


@pytest.fixture(scope="module")
def made(target: Target, source: Source, folder: Path) -> Made:
    return target.convert(source, "fp32", folder)


@pytest.fixture(scope="module")
def embedder(target: Target, made: Made, source: Source) -> Embedder:
    return target.open(made.files, source.interface)


@pytest.fixture(scope="module")
def made_inside(target: Target, tiny: Network, crops: NDArray[np.uint8], tmp_path_factory: pytest.TempPathFactory
                ) -> tuple[Made, Made]:
    source = freeze(tiny, INSIDE, "student", crops)
    folder = tmp_path_factory.mktemp("inside")
    return target.convert(source, "fp32", folder), target.convert(source, "int8", folder)


def test_one_file_is_written_and_nothing_else(name: str, made: Made, folder: Path) -> None:
    assert made.files == (folder / f"student.{KINDS[name][1]}",)
    assert list(folder.iterdir()) == list(made.files)


@pytest.mark.parametrize("batch", [0, 1, 2, 7, 20])  # ExecuTorch's file takes 16 at once
def test_the_file_answers_as_the_network_at_any_batch(
    embedder: Embedder, source: Source, crops: NDArray[np.uint8], batch: int
) -> None:
    np.testing.assert_allclose(embedder.forward(crops[:batch]), source.embed(crops)[:batch], atol=1e-4)


def test_scaling_and_unit_length_can_lie_inside(
    target: Target, made_inside: tuple[Made, Made], source: Source, crops: NDArray[np.uint8]
) -> None:
    found = target.open(made_inside[0].files, Interface(112, 8, INSIDE)).forward(crops[:3])
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    assert np.abs(normalise(found) - normalise(source.embed(crops[:3]))).max() < 1e-5


def test_int8_stays_near_the_network_and_is_smaller(
    name: str, target: Target, made_inside: tuple[Made, Made], source: Source, crops: NDArray[np.uint8]
) -> None:
    fp32, int8 = (files.files[0] for files in made_inside)
    assert int8.name == f"student.int8.{KINDS[name][1]}"
    assert int8.stat().st_size < 0.8 * fp32.stat().st_size
    found = target.open((int8,), Interface(112, 8, INSIDE)).forward(crops)
    assert cosines(found, source.embed(crops)).mean > KINDS[name][2]


def test_the_embedder_is_named_and_fingerprinted_by_its_file(made: Made, embedder: Embedder) -> None:
    assert (embedder.name, embedder.size, embedder.dimension) == ("student", 112, 8)
    assert embedder.fingerprint == sha256(made.files[0])


def test_a_file_of_another_interface_is_refused(target: Target, made: Made) -> None:
    with pytest.raises(ExportError, match="another model's file"):
        target.open(made.files, Interface(112, 9, OUTSIDE))


@pytest.mark.parametrize("keep", [0, 40, 0.5])
def test_a_damaged_file_is_refused(target: Target, made: Made, source: Source, tmp_path: Path, keep: float) -> None:
    content = made.files[0].read_bytes()
    path = tmp_path / f"cut{made.files[0].suffix}"
    path.write_bytes(content[: int(keep * len(content)) if keep < 1 else int(keep)])
    with pytest.raises(ExportError, match=r"cannot be opened by (ExecuTorch|LiteRT)"):
        target.open((path,), source.interface)


def test_an_absent_file_is_refused(target: Target, source: Source, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="does not exist"):
        target.open((tmp_path / "none",), source.interface)


def test_int8_without_crops_is_refused(target: Target, tiny: Network, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="calibration crops"):
        target.convert(freeze(tiny, OUTSIDE, "student"), "int8", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_failure_of_the_converter_is_one_sentence_and_leaves_nothing(
    name: str, target: Target, module: ModuleType, source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> bytes:
        raise RuntimeError("no kernel\nfor aten.eye")

    monkeypatch.setattr(module, "_lower", fail)
    with pytest.raises(ExportError, match=rf"tiny could not .* {name} fp32 \(RuntimeError: no kernel for aten.eye"):
        target.convert(source, "fp32", tmp_path)
    assert list(tmp_path.iterdir()) == []
