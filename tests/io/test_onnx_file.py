from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from facekd.errors import ModelError
from facekd.io import onnx_file
from facekd.io.onnx_file import external_weights, fingerprint, read_model


def model_of(tensor: TensorProto, *, in_node: bool = False) -> onnx.ModelProto:
    nodes = [helper.make_node("Add", ["x", tensor.name], ["y"])]
    if in_node:
        nodes.insert(0, helper.make_node("Constant", [], [tensor.name], value=tensor))
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in "xy"]
    return helper.make_model(helper.make_graph(nodes, "g", values[:1], values[1:], [] if in_node else [tensor]))


def external(location: str, **options: bool) -> onnx.ModelProto:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=location)
    return model_of(tensor, **options)


def test_a_file_is_read_and_has_its_own_checksum(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    onnx.save(model_of(numpy_helper.from_array(np.ones(4, np.float32), "w")), path)
    model = read_model(path)
    assert [node.op_type for node in model.graph.node] == ["Add"] and external_weights(path, model) == []
    assert fingerprint(path, []) == hashlib.sha256(path.read_bytes()).hexdigest()


def test_external_weights_are_part_of_the_fingerprint(tmp_path: Path) -> None:
    path, weights = tmp_path / "m.onnx", tmp_path / "w.bin"
    onnx.save(external("w.bin"), path)
    weights.write_bytes(bytes(16))
    assert external_weights(path, read_model(path)) == [weights.resolve()]
    before = fingerprint(path, [weights])
    weights.write_bytes(bytes(15) + b"\1")
    assert fingerprint(path, [weights]) != before


@pytest.mark.parametrize("in_node", [False, True])
@pytest.mark.parametrize("location", [
    "/etc/hostname", "../outside.bin", "link.bin", "sub/../../outside.bin", "/proc/self/mem",
])
def test_weights_outside_of_the_folder_are_refused_unopened(tmp_path: Path, location: str, in_node: bool) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "outside.bin").write_bytes(bytes(16))
    (folder / "link.bin").symlink_to(tmp_path / "outside.bin")
    with pytest.raises(ModelError, match="names weights outside of its folder"):
        external_weights(folder / "m.onnx", external(location, in_node=in_node))


@pytest.mark.parametrize("location", ["absent.bin", "", "a\0b", "x" * 300])
def test_weights_that_are_not_there_are_named(tmp_path: Path, location: str) -> None:
    with pytest.raises(ModelError, match=r"m\.onnx"):
        external_weights(tmp_path / "m.onnx", external(location))


def test_sizes_are_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.onnx"
    onnx.save(external("w.bin"), path)
    (tmp_path / "w.bin").write_bytes(bytes(16))
    monkeypatch.setattr(onnx_file, "EXTERNAL_LIMIT", 15)
    with pytest.raises(ModelError, match="of weights in other files"):
        external_weights(path, read_model(path))
    monkeypatch.setattr(onnx_file, "FILE_LIMIT", 10)
    with pytest.raises(ModelError, match="more than 10 bytes"):
        read_model(path)


@pytest.mark.parametrize("content", [b"", b"no graph", b"\x08\x0a", b"<html></html>"])
def test_a_file_that_is_no_onnx_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"m\.onnx"):
        read_model(path)


def test_an_absent_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"m\.onnx does not exist"):
        read_model(tmp_path / "m.onnx")
    with pytest.raises(ModelError, match="cannot be read"):
        read_model(tmp_path)
