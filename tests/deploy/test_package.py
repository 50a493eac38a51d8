from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from facekd.deploy.package import Package, read_package
from facekd.deploy.targets.base import _TARGETS, NotRunnable
from facekd.errors import ExportError
from facekd.models.onnx_embedder import OnnxEmbedder
from tests.deploy.conftest import Elsewhere


@pytest.fixture
def copied(written: Package, tmp_path: Path) -> Path:
    """A package to spoil."""
    return shutil.copytree(written.path, tmp_path / "phone")


def test_the_lines_to_read_tell_each_file_and_each_note_once(written: Package) -> None:
    first, *lines = written.describe().splitlines()
    assert first.startswith(f"{written.path}: ")
    assert [line.split(":")[0] for line in lines[:4]] == ["onnx fp32", "onnx fp16", "onnx int8", "elsewhere fp32"]
    assert "cosine 1.0000 (lowest 1.0000), accuracy " in lines[0]
    why = "not offered, not asked for, or int8 without calibration"
    assert lines[3:] == ["elsewhere fp32: tiny.else, 0.00 MB, not run", "It is a folder.", "it runs elsewhere only",
                         f"not in it: elsewhere fp16, elsewhere int8 ({why})"]


def test_what_was_written_is_read_back(written: Package) -> None:
    found = read_package(written.path)
    assert (found.path, found.metadata) == (written.path, written.metadata)


def test_a_package_that_was_moved_is_read(copied: Path, crops: NDArray[np.uint8]) -> None:
    assert read_package(copied).open("onnx fp32").forward(crops[:2]).shape == (2, 8)


@pytest.mark.parametrize("name", ["tiny.int8.onnx", "tiny.else/deep/weights", "card.md"])
def test_a_changed_file_is_named(copied: Path, name: str) -> None:
    content = bytearray((copied / name).read_bytes())
    content[-1] ^= 1
    (copied / name).write_bytes(content)
    with pytest.raises(ExportError, match=rf"{name} is not what was exported.*export it again"):
        read_package(copied)


@pytest.mark.parametrize("name", ["tiny.fp16.onnx", "tiny.else/deep/weights"])
def test_a_missing_file_is_named(copied: Path, name: str) -> None:
    (copied / name).unlink()
    with pytest.raises(ExportError, match=rf"{name} is missing.*copy the whole folder again"):
        read_package(copied)


@pytest.mark.parametrize(("version", "said"), [(1, "format version 1, .* export it again"), (3, "upgrade facekd")])
def test_another_format_version_is_refused(copied: Path, version: int, said: str) -> None:
    content = json.loads((copied / "metadata.json").read_text())
    (copied / "metadata.json").write_text(json.dumps({**content, "version": version}))
    with pytest.raises(ExportError, match=said):
        read_package(copied)


def test_a_folder_that_is_no_package_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"metadata\.json does not exist"):
        read_package(tmp_path)


@pytest.mark.parametrize(("title", "name"), [("onnx fp32", "tiny.onnx"), ("onnx int8", "tiny.int8.onnx")])
def test_a_file_is_opened_by_its_title(written: Package, crops: NDArray[np.uint8], title: str, name: str) -> None:
    opened = written.open(title, threads=2)
    assert isinstance(opened, OnnxEmbedder) and opened.threads == 2
    np.testing.assert_array_equal(opened.forward(crops[:3]), OnnxEmbedder(written.path / name).forward(crops[:3]))


def test_a_file_whose_runtime_is_elsewhere_says_so(written: Package, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(_TARGETS, "elsewhere", Elsewhere)
    with pytest.raises(NotRunnable, match="elsewhere only"):
        written.open("elsewhere fp32")


def test_a_title_it_does_not_have_is_refused(written: Package) -> None:
    with pytest.raises(ExportError, match="holds no 'onnx int4': did you mean 'onnx int8'"):
        written.open("onnx int4")
