from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from facekd.deploy.onnx.cost import count_onnx_cost
from facekd.deploy.source import ExportFormat, prepare_source
from facekd.deploy.targets.onnx import OnnxTarget
from facekd.errors import ModelError
from facekd.models.complexity import count_macs
from facekd.models.registry import Network, create


def write_graph(path: Path, nodes: list[onnx.NodeProto], weights: dict[str, tuple[int, ...]]) -> Path:
    tensors = [numpy_helper.from_array(np.ones(shape, np.float32), name) for name, shape in weights.items()]
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4, 6, 6])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)], tensors)
    domains = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(graph, opset_imports=domains), str(path))
    return path


def test_the_count_of_a_graph_is_that_of_its_network(float_file: Path, tiny_network: Network) -> None:
    cost = count_onnx_cost(float_file)
    assert cost.macs == count_macs(tiny_network, 112)
    folded = (27 * 8 + 8) + (72 * 16 + 16) + (256 * 8 + 8)  # batch norm has become biases
    assert folded <= cost.parameters <= folded + 2 * (8 + 1)  # slopes of PReLU, each in two forms
    assert cost.bytes == float_file.stat().st_size


def test_depthwise_convolutions_are_counted_as_torch_counts_them(tmp_path: Path) -> None:
    network = create("mobilenetv2", size=32, outputs=16, expansion=2, width=0.25)
    converted = OnnxTarget().convert(prepare_source(network, ExportFormat(), "m"), "fp32", tmp_path)
    assert count_onnx_cost(converted.files[0]).macs == count_macs(network, 32)


def test_a_grouped_convolution_and_a_product_by_hand(tmp_path: Path) -> None:
    nodes = [helper.make_node("Conv", ["x", "k"], ["c"], group=2), helper.make_node("Flatten", ["c"], ["f"]),
             helper.make_node("MatMul", ["f", "w"], ["y"])]
    cost = count_onnx_cost(write_graph(tmp_path / "g.onnx", nodes, {"k": (8, 2, 3, 3), "w": (128, 5)}))
    assert (cost.parameters, cost.macs) == (8 * 2 * 9 + 128 * 5, 4 * 4 * 8 * 2 * 9 + 128 * 5)


def test_an_operator_of_another_domain_leaves_the_count_open(tmp_path: Path) -> None:
    nodes = [helper.make_node("FusedConv", ["x", "k"], ["y"], domain="com.microsoft")]
    assert count_onnx_cost(write_graph(tmp_path / "g.onnx", nodes, {"k": (8, 4, 3, 3)})).macs is None


def test_external_weights_are_part_of_the_size(float_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "apart.onnx"
    proto = onnx.load(str(float_file))
    onnx.save(proto, str(path), save_as_external_data=True, location="apart.data", size_threshold=0)
    external, single = count_onnx_cost(path), count_onnx_cost(float_file)
    assert external.bytes == path.stat().st_size + (tmp_path / "apart.data").stat().st_size
    assert (external.parameters, external.macs) == (single.parameters, single.macs)


def test_a_file_that_is_no_graph_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(b"no graph at all")
    with pytest.raises(ModelError, match="cannot be read as an ONNX file"):
        count_onnx_cost(tmp_path / "x.onnx")
