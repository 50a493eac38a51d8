from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from facekd.deploy.package import Package, read_package
from facekd.deploy.targets.base import RuntimeUnavailableError, registered
from facekd.errors import ExportError
from facekd.models.onnx_embedder import OnnxEmbedder
from tests.deploy.conftest import UnavailableTarget


@pytest.fixture
def package_copy(exported_package: Package, tmp_path: Path) -> Path:
    """A copy of the package that tests may damage."""
    return shutil.copytree(exported_package.path, tmp_path / "phone")


def test_the_description_names_each_file_and_each_note_once(exported_package: Package) -> None:
    first, *lines = exported_package.describe().splitlines()
    assert first.startswith(f"{exported_package.path}: ")
    assert [line.split(":")[0] for line in lines[:4]] == ["onnx fp32", "onnx fp16", "onnx int8", "elsewhere fp32"]
    assert "cosine 1.0000 (lowest 1.0000), accuracy " in lines[0]
    reason = "not offered, not requested, or int8 without calibration"
    assert lines[3:] == ["elsewhere fp32: tiny.else, 0.00 MB, not run", "It is a folder.", "it runs elsewhere only",
                         f"not in it: elsewhere fp16, elsewhere int8 ({reason})"]


def test_what_was_written_is_read_back(exported_package: Package) -> None:
    package = read_package(exported_package.path)
    assert (package.path, package.metadata) == (exported_package.path, exported_package.metadata)


def test_a_package_that_was_moved_is_read(package_copy: Path, crops: NDArray[np.uint8]) -> None:
    assert read_package(package_copy).open("onnx fp32").forward(crops[:2]).shape == (2, 8)


@pytest.mark.parametrize("name", ["tiny.int8.onnx", "tiny.else/deep/weights", "card.md"])
def test_a_changed_file_is_named(package_copy: Path, name: str) -> None:
    content = bytearray((package_copy / name).read_bytes())
    content[-1] ^= 1
    (package_copy / name).write_bytes(content)
    with pytest.raises(ExportError, match=rf"{name} is not what was exported.*export it again"):
        read_package(package_copy)


@pytest.mark.parametrize("name", ["tiny.fp16.onnx", "tiny.else/deep/weights"])
def test_a_missing_file_is_named(package_copy: Path, name: str) -> None:
    (package_copy / name).unlink()
    with pytest.raises(ExportError, match=rf"{name} is missing.*copy the whole folder again"):
        read_package(package_copy)


@pytest.mark.parametrize(("version", "message"), [
    (2, "format version 2 was written by an older facekd .*; export it again"), (5, "upgrade facekd")
])
def test_another_format_version_is_refused(package_copy: Path, version: int, message: str) -> None:
    content = json.loads((package_copy / "metadata.json").read_text())
    (package_copy / "metadata.json").write_text(json.dumps({**content, "version": version}))
    with pytest.raises(ExportError, match=message):
        read_package(package_copy)


def test_a_folder_that_is_no_package_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"metadata\.json does not exist"):
        read_package(tmp_path)


@pytest.mark.parametrize(("title", "name"), [("onnx fp32", "tiny.onnx"), ("onnx int8", "tiny.int8.onnx")])
def test_a_file_is_opened_by_its_title(
    exported_package: Package, crops: NDArray[np.uint8], title: str, name: str
) -> None:
    opened = exported_package.open(title, threads=2)
    assert isinstance(opened, OnnxEmbedder) and opened.threads == 2
    expected = OnnxEmbedder(exported_package.path / name).forward(crops[:3])
    np.testing.assert_array_equal(opened.forward(crops[:3]), expected)


def test_a_file_whose_runtime_does_not_exist_here_says_so(exported_package: Package) -> None:
    with registered(UnavailableTarget), pytest.raises(RuntimeUnavailableError, match="elsewhere only"):
        exported_package.open("elsewhere fp32")


def test_a_title_it_does_not_have_is_refused(exported_package: Package) -> None:
    with pytest.raises(ExportError, match="holds no 'onnx int4': did you mean 'onnx int8'"):
        exported_package.open("onnx int4")
