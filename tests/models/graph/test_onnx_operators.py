from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from facekd.errors import ModelError
from facekd.models.graph.input_scaling import InputScaling
from facekd.models.graph.onnx_operators import read_operator
from facekd.models.graph.onnx_reader import GraphReader
from facekd.models.input_format import InputFormat

CONSTANTS: dict[str, NDArray[Any]] = {
    "kernel": np.ones((4, 3, 3, 3), np.float32), "wide": np.ones((4, 3, 3, 1), np.float32),
    "matrix": np.ones((3, 4), np.float32), "channels": np.full((3, 1, 1), 2, np.float32),
    "places": np.ones((3, 8, 8), np.float32), "axes": np.array([2, 3]), "first_axes": np.array([0, 1]),
    "vector": np.array([0, -1]), "maps": np.array([0, 3, 8, 8]), "six": np.array(6, np.float32),
}


def read(*operators: tuple[Any, ...]) -> GraphReader:
    """Read operators ``(name, inputs, attributes)``; the output of the first is y0, of the second y1."""
    image = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 8, 8])
    output = helper.make_tensor_value_info("y0", TensorProto.FLOAT, None)
    constants = [numpy_helper.from_array(value, name) for name, value in CONSTANTS.items()]
    graph = helper.make_graph([], "g", [image], [output], constants)
    reader = GraphReader(graph, Path("m.onnx"), InputScaling(InputFormat("unit"), Path("m.onnx")))
    for index, (name, inputs, attributes) in enumerate(operators):
        read_operator(reader, helper.make_node(name, list(inputs), [f"y{index}"], **attributes))
    return reader


RELU = ("Relu", ["x"], {})


@pytest.mark.parametrize(("operator", "layer", "options"), [
    (("Conv", ["x", "kernel"], {"pads": [1] * 4, "strides": [2, 2]}), "convolution",
     {"inputs": 3, "outputs": 4, "kernel": 3, "stride": 2, "padding": 1, "groups": 1, "bias": False}),
    (("Gemm", ["x", "matrix"], {}), "linear", {"inputs": 3, "outputs": 4, "bias": False}),
    (("MatMul", ["x", "matrix"], {}), "linear", {"inputs": 3, "outputs": 4, "bias": False}),
    (("PRelu", ["x", "channels"], {}), "prelu", {"channels": 3}),
    (("Clip", ["x", "", "six"], {}), "clip", {"low": -1e30, "high": 6.0}),
    (("Clip", ["x"], {"min": 0.0, "max": 6.0}), "clip", {"low": 0.0, "high": 6.0}),
    (("GlobalAveragePool", ["x"], {}), "pool", {}), (("ReduceMean", ["x", "axes"], {}), "pool", {}),
    (("ReduceMean", ["x"], {"axes": [-2, -1], "keepdims": 0}), "flatten", {}),
    (("Flatten", ["x"], {}), "flatten", {}), (("Reshape", ["x", "vector"], {}), "flatten", {}),
])
def test_an_operator_becomes_its_layer(operator: tuple[Any, ...], layer: str, options: dict[str, Any]) -> None:
    node = read(operator).nodes[-1]
    assert (node.layer, dict(node.options)) == (layer, options)


@pytest.mark.parametrize("name", ["Identity", "Dropout"])
def test_operators_without_effect_leave_no_layer(name: str) -> None:
    assert [node.layer for node in read((name, ["x"], {}), ("Relu", ["y0"], {})).nodes] == ["relu"]


@pytest.mark.parametrize(("name", "inputs", "factor", "summand"), [
    ("Mul", ["y0", "channels"], 2, 0), ("Add", ["channels", "y0"], 1, 2), ("Sub", ["y0", "channels"], 1, -2),
    ("Sub", ["channels", "y0"], -1, 2), ("Div", ["y0", "channels"], 0.5, 0),
])
def test_arithmetic_with_a_constant_is_affine(name: str, inputs: list[str], factor: float, summand: float) -> None:
    reader = read(RELU, (name, inputs, {}))
    assert reader.nodes[-1].layer == "affine"
    assert set(reader.weights["affine1.weight"]) == {factor} and set(reader.weights["affine1.bias"]) == {summand}


def test_arithmetic_of_constants_is_a_constant() -> None:
    assert float(read(("Mul", ["six", "six"], {})).constants["y0"]) == 36


def test_the_computation_of_a_shape_is_skipped() -> None:
    reader = read(("Shape", ["x"], {}), ("Gather", ["y0", "vector"], {}), ("Reshape", ["x", "y1"], {}))
    assert [node.layer for node in reader.nodes] == ["flatten"]


@pytest.mark.parametrize(("operator", "message"), [
    (("Sigmoid", ["x"], {}), "the operator Sigmoid"), (("Gather", ["x", "vector"], {}), "the operator Gather"),
    (("Conv", ["x", "wide"], {}), "a Conv that is not square"),
    (("Conv", ["x", "kernel"], {"dilations": [2, 2]}), "a Conv that is not square, is dilated"),
    (("Conv", ["x", "kernel"], {"pads": [0, 0, 1, 1]}), "padded differently"),
    (("Conv", ["x", "kernel"], {"auto_pad": "SAME_UPPER"}), "padded differently"),
    (("Gemm", ["x", "matrix"], {"transA": 1}), "a Gemm of another form"),
    (("MatMul", ["x", "kernel"], {}), "a MatMul of another form"),
    (("ReduceMean", ["x", "first_axes"], {}), "a ReduceMean over other axes"),
    (("Reshape", ["x", "maps"], {}), "a Reshape that does not give one vector"),
    (("Mul", ["x", "places"], {}), "a Mul by a constant that differs between positions"),
    (("Mul", ["x", "x"], {}), "the Mul of two values"), (("Div", ["six", "x"], {}), "the division by a value"),
])
def test_what_has_no_layer_is_named(operator: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        read(operator)
