from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from facekd.deploy.onnx.cost import onnx_cost
from facekd.deploy.source import Form, freeze
from facekd.deploy.targets.onnx import OnnxTarget
from facekd.errors import ModelError
from facekd.models.complexity import macs
from facekd.models.registry import Network, create


def write_graph(path: Path, nodes: list[onnx.NodeProto], weights: dict[str, tuple[int, ...]]) -> Path:
    tensors = [numpy_helper.from_array(np.ones(shape, np.float32), name) for name, shape in weights.items()]
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4, 6, 6])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)], tensors)
    domains = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(graph, opset_imports=domains), str(path))
    return path


def test_the_count_of_a_graph_is_that_of_its_network(exported: Path, tiny: Network) -> None:
    found = onnx_cost(exported)
    assert found.macs == macs(tiny, 112)
    folded = (27 * 8 + 8) + (72 * 16 + 16) + (256 * 8 + 8)  # batch norm has become biases
    assert folded <= found.parameters <= folded + 2 * (8 + 1)  # slopes of PReLU, each in two forms
    assert found.bytes == exported.stat().st_size


def test_depthwise_convolutions_are_counted_as_torch_counts_them(tmp_path: Path) -> None:
    network = create("mobilenetv2", size=32, outputs=16, expansion=2, width=0.25)
    made = OnnxTarget().convert(freeze(network, Form(), "m"), "fp32", tmp_path)
    assert onnx_cost(made.files[0]).macs == macs(network, 32)


def test_a_grouped_convolution_and_a_product_by_hand(tmp_path: Path) -> None:
    nodes = [helper.make_node("Conv", ["x", "k"], ["c"], group=2), helper.make_node("Flatten", ["c"], ["f"]),
             helper.make_node("MatMul", ["f", "w"], ["y"])]
    found = onnx_cost(write_graph(tmp_path / "g.onnx", nodes, {"k": (8, 2, 3, 3), "w": (128, 5)}))
    assert (found.parameters, found.macs) == (8 * 2 * 9 + 128 * 5, 4 * 4 * 8 * 2 * 9 + 128 * 5)


def test_an_operator_of_another_house_leaves_the_count_open(tmp_path: Path) -> None:
    nodes = [helper.make_node("FusedConv", ["x", "k"], ["y"], domain="com.microsoft")]
    assert onnx_cost(write_graph(tmp_path / "g.onnx", nodes, {"k": (8, 4, 3, 3)})).macs is None


def test_weights_beside_the_file_are_part_of_its_size(exported: Path, tmp_path: Path) -> None:
    path = tmp_path / "apart.onnx"
    onnx.save(onnx.load(str(exported)), str(path), save_as_external_data=True, location="apart.data", size_threshold=0)
    found, whole = onnx_cost(path), onnx_cost(exported)
    assert found.bytes == path.stat().st_size + (tmp_path / "apart.data").stat().st_size
    assert (found.parameters, found.macs) == (whole.parameters, whole.macs)


def test_what_is_no_graph_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(b"no graph at all")
    with pytest.raises(ModelError, match="cannot be read as an ONNX graph"):
        onnx_cost(tmp_path / "x.onnx")
