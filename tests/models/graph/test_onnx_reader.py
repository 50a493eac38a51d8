from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from facekd.errors import ModelError
from facekd.models.graph.description import INPUT
from facekd.models.graph.input_scaling import InputScaling
from facekd.models.graph.onnx_reader import GraphReader
from facekd.models.input_format import InputFormat


def make_graph(inputs: tuple[str, ...] = ("x",)) -> onnx.GraphProto:
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 3, 32, 32]) for name in inputs]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 8])
    constants = [numpy_helper.from_array(np.ones((3, 1, 1), np.float32), "slopes"),
                 numpy_helper.from_array(np.ones((3, 2, 1), np.float32), "map")]
    return helper.make_graph([], "g", values, [output], constants)


def reader(graph: onnx.GraphProto | None = None) -> GraphReader:
    return GraphReader(graph or make_graph(), Path("m.onnx"), InputScaling(InputFormat("unit"), Path("m.onnx")))


def node(*inputs: str, output: str = "y") -> onnx.NodeProto:
    return helper.make_node("PRelu", list(inputs), [output], name="activation")


def test_names_of_the_graph_stand_for_our_nodes() -> None:
    state = reader()
    state.add(node("x", "slopes", output="z"), "prelu", (state.value(node("x")),), {"channels": 3}, weight=np.ones(3))
    assert state.nodes[0].inputs == (INPUT,) and state.value(node("z")) == "prelu0"
    assert list(state.weights) == ["prelu0.weight"] and not state.is_vector("prelu0")


def test_what_the_output_does_not_need_is_left_out() -> None:
    state = reader()
    state.add(node("x", output="unused"), "relu", (INPUT,), {})
    state.add(node("x", output="y"), "prelu", (INPUT,), {"channels": 1}, weight=np.ones(1))
    nodes, weights = state.finish("y")
    assert "relu0" not in [n.name for n in nodes] and nodes[-1].name == "prelu1" and "prelu1.weight" in weights


def test_a_constant_has_one_value_for_each_channel() -> None:
    assert reader().channel_values(node("x", "slopes"), 1).shape == (3,)
    with pytest.raises(ModelError, match="a PRelu by a constant that differs between positions"):
        reader().channel_values(node("x", "map"), 1)


def test_weights_that_are_computed_are_refused() -> None:
    with pytest.raises(ModelError, match="a PRelu whose weights are computed"):
        reader().constant(node("x", "x"), 1)


def test_a_layer_of_a_constant_is_refused() -> None:
    with pytest.raises(ModelError, match=r"a PRelu of a constant \(node 'activation'\)"):
        reader().value(node("slopes"))


def test_a_graph_without_layers_is_refused() -> None:
    with pytest.raises(ModelError, match="no layers between its input and its output"):
        reader().finish("y")


def test_a_graph_of_two_inputs_is_refused() -> None:
    with pytest.raises(ModelError, match="has 2 inputs and 1 outputs"):
        reader(make_graph(("x", "mask")))
