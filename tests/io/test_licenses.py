from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from facekd.io.licenses import UNKNOWN, find_license, is_restricted


def write_model(path: Path, **properties: str) -> Path:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    model = helper.make_model(helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [value], [output]))
    helper.set_model_props(model, properties)
    onnx.save(model, path)
    return path


def test_the_property_of_the_file_comes_first(tmp_path: Path) -> None:
    (tmp_path / "LICENSE").write_text("MIT License")
    assert find_license(write_model(tmp_path / "m.onnx", License="CC-BY-4.0\n")) == "CC-BY-4.0"


@pytest.mark.parametrize("name", ["LICENSE", "license.txt", "LICENCE.md", "COPYING", "MODEL.LICENSE"])
def test_a_text_beside_it_counts_by_its_first_line(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("\n  Apache   License\nVersion 2.0")
    assert find_license(write_model(tmp_path / "m.onnx")) == f"Apache License (first line of {name})"
    assert find_license(tmp_path / "m.pt") == f"Apache License (first line of {name})"


def test_otherwise_it_is_unknown(tmp_path: Path) -> None:
    (tmp_path / "LICENSE").write_text("\n\n")
    (tmp_path / "licenses.py").write_text("x = 1")
    assert find_license(write_model(tmp_path / "m.onnx", author="a")) == UNKNOWN


@pytest.mark.parametrize(("text", "restricted"), [
    ("unknown", True), ("CC-BY-NC-4.0", True), ("non-commercial research only", True), ("Non Commercial use", True),
    ("MIT", False), ("Apache-2.0", False), ("CC-BY-4.0", False), ("that of its training data", False),
])
def test_restricted_licenses(text: str, restricted: bool) -> None:
    assert is_restricted(text) == restricted
