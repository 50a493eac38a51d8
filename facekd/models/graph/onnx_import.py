"""A foreign ONNX recognizer as a network of ours, with equal outputs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper

from facekd.errors import ModelError
from facekd.models.graph.description import INPUT, Node, dump_graph
from facekd.models.graph.input_scaling import InputScaling
from facekd.models.registry import Network, create
from facekd.text import path_text, short_repr

Array = NDArray[Any]
ARITHMETIC = ("Add", "Sub", "Mul", "Div")
IGNORED = ("Identity", "Dropout")
SHAPE_OPERATORS = ("Shape", "Gather", "Unsqueeze", "Concat", "Cast", "Slice")
"""Operators that older exporters write to compute the shape to which a map is flattened."""


def convert_graph(model: onnx.ModelProto, path: Path, size: int, raw_pixels: bool | None = None) -> Network:
    """Convert an ONNX model of convolutions and the like to a network with the same weights.

    Batch normalizations, PReLUs and sums keep their form. The scaling of pixels at the beginning of the graph becomes a
    part of the first convolution, because our networks take pixels from -1 to 1.

    Args:
        model: the model with all its weights.
        path: its file, for messages.
        size: side of the input in pixels.
        raw_pixels: whether the graph takes pixels from 0 to 255; None: it does if it scales such pixels itself.

    Returns:
        The network in evaluation mode, an architecture ``graph``.

    Raises:
        ModelError: an operator cannot be converted; the message names it.
    """
    reader = _GraphReader(model.graph, path, raw_pixels)
    for node in model.graph.node:
        reader.read(node)
    nodes, weights = reader.finish(model.graph.output[0].name)
    outputs = next(len(weights[f"{n.name}.weight"]) for n in reversed(nodes)
                   if n.layer in ("linear", "convolution"))
    network = create("graph", size=size, outputs=outputs, nodes=dump_graph(nodes))
    state = network.state_dict()
    for key, value in weights.items():
        state[f"layers.{key}"].copy_(torch.from_numpy(np.array(value, np.float32)).view(state[f"layers.{key}"].shape))
    return network.eval()


class _GraphReader:
    """Reads the nodes of an ONNX graph one after another.

    Attributes:
        nodes: the nodes of the network so far.
        weights: parameters and statistics by ``NODE.parameter``.
    """

    def __init__(self, graph: onnx.GraphProto, path: Path, raw_pixels: bool | None) -> None:
        self.path = path
        self.nodes: list[Node] = []
        self.weights: dict[str, Array] = {}
        self._constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
        inputs = [value.name for value in graph.input if value.name not in self._constants]
        self._names = {inputs[0]: INPUT}
        self._shape_values: set[str] = set()
        self._scaling = InputScaling(raw_pixels)
        self._flat: set[str] = set()

    def read(self, node: onnx.NodeProto) -> None:
        """Convert one node.

        Raises:
            ModelError: the operator, or the way it is used, has no counterpart.
        """
        if node.op_type == "Constant":
            self._constants[node.output[0]] = _constant(node)
        elif node.op_type in IGNORED and node.input[0] in self._constants:
            self._constants[node.output[0]] = self._constants[node.input[0]]
        elif node.op_type in IGNORED:
            self._names[node.output[0]] = self._value(node, 0)
        elif node.op_type in SHAPE_OPERATORS and self._is_shape(node):
            self._shape_values.add(node.output[0])
        elif node.op_type in ARITHMETIC:
            self._arithmetic(node)
        elif convert := CONVERTERS.get(node.op_type):
            convert(self, node)
        else:
            raise self._refusal(node, f"the operator {node.op_type}")

    def finish(self, output: str) -> tuple[tuple[Node, ...], dict[str, Array]]:
        """Return the nodes that the output depends on, with their weights."""
        needed = {self._names.get(output)}
        for node in reversed(self.nodes):
            if node.name in needed:
                needed.update(node.inputs)
        nodes = [node for node in self.nodes if node.name in needed]
        if not nodes or nodes[-1].name != self._names.get(output):
            raise ModelError(f"{path_text(self.path)} has no layers between its input and its output; use another file")
        return self._scaling.apply(nodes, self.weights)

    # -- layers

    def _add_node(self, node: onnx.NodeProto, layer: str, inputs: tuple[str, ...], options: dict[str, Any],
                  **weights: Array | None) -> None:
        name = f"{layer}{len(self.nodes)}"
        self.nodes.append(Node(name, layer, inputs, options))
        self._names[node.output[0]] = name
        self.weights.update({f"{name}.{key}": value for key, value in weights.items() if value is not None})
        if layer in ("flatten", "linear") or inputs[0] in self._flat:
            self._flat.add(name)

    def _convolution(self, node: onnx.NodeProto) -> None:
        weight = self._constant_input(node, 1)
        bias = self._constant_input(node, 2) if len(node.input) > 2 and node.input[2] else None
        attributes = _attributes(node)
        kernel, strides = weight.shape[2:], attributes.get("strides", [1, 1])
        pads, dilations = attributes.get("pads", [0] * 4), attributes.get("dilations", [1, 1])
        square = len(kernel) == 2 and all(len(set(values)) == 1 for values in (kernel, strides, pads))
        if not square or set(dilations) != {1} or attributes.get("auto_pad", b"NOTSET") != b"NOTSET":
            raise self._refusal(node, "a Conv that is not square, is dilated or is padded differently on its sides")
        groups = int(attributes.get("group", 1))
        options = {"inputs": weight.shape[1] * groups, "outputs": len(weight), "kernel": kernel[0],
                   "stride": int(strides[0]), "padding": int(pads[0]), "groups": groups, "bias": bias is not None}
        self._add_node(node, "convolution", (self._value(node, 0),), options, weight=weight, bias=bias)

    def _linear(self, node: onnx.NodeProto) -> None:
        attributes = _attributes(node)
        weight = self._constant_input(node, 1)
        if node.op_type == "MatMul" or not attributes.get("transB", 0):
            weight = weight.T
        if attributes.get("transA", 0) or weight.ndim != 2:
            raise self._refusal(node, f"a {node.op_type} of another form than a linear layer")
        weight = weight * attributes.get("alpha", 1.0)
        bias = self._constant_input(node, 2) if len(node.input) > 2 and node.input[2] else None
        if bias is not None:
            bias = np.broadcast_to(bias * attributes.get("beta", 1.0), (1, len(weight)))[0]
        options = {"inputs": weight.shape[1], "outputs": len(weight), "bias": bias is not None}
        self._add_node(node, "linear", (self._value(node, 0),), options, weight=weight, bias=bias)

    def _batchnorm(self, node: onnx.NodeProto) -> None:
        weight, bias, mean, var = (self._constant_input(node, place) for place in range(1, 5))
        source = self._value(node, 0)
        options = {"channels": len(weight), "eps": float(_attributes(node).get("epsilon", 1e-5)),
                   "flat": source in self._flat}
        self._add_node(node, "batchnorm", (source,), options, weight=weight, bias=bias, running_mean=mean,
                       running_var=var)

    def _prelu(self, node: onnx.NodeProto) -> None:
        slope = self._constant_input(node, 1)
        if slope.size != max(slope.shape, default=1):
            raise self._refusal(node, "a PRelu with slopes that differ between positions")
        self._add_node(node, "prelu", (self._value(node, 0),), {"channels": slope.size}, weight=slope.reshape(-1))

    def _clip(self, node: onnx.NodeProto) -> None:
        attributes = _attributes(node)
        bounds = [float(self._constant_input(node, place)) if len(node.input) > place and node.input[place]
                  else float(attributes.get(key, default))
                  for place, key, default in ((1, "min", -1e30), (2, "max", 1e30))]
        self._add_node(node, "clip", (self._value(node, 0),), {"low": bounds[0], "high": bounds[1]})

    def _relu(self, node: onnx.NodeProto) -> None:
        self._add_node(node, "relu", (self._value(node, 0),), {})

    def _pool(self, node: onnx.NodeProto) -> None:
        axes = _attributes(node).get("axes", [2, 3])
        if len(node.input) > 1:
            axes = self._constant_input(node, 1).tolist()
        if sorted(axis % 4 for axis in axes) != [2, 3]:
            raise self._refusal(node, "a ReduceMean over other axes than those of a map")
        self._add_node(node, "pool", (self._value(node, 0),), {})
        if not _attributes(node).get("keepdims", 1):
            self._add_node(node, "flatten", (self._value(node, -1),), {})

    def _flatten(self, node: onnx.NodeProto) -> None:
        shape = self._constants.get(node.input[1]) if node.op_type == "Reshape" else None
        if _attributes(node).get("axis", 1) != 1 or (shape is not None and len(shape) != 2):
            raise self._refusal(node, f"a {node.op_type} that is not one vector an image")
        self._add_node(node, "flatten", (self._value(node, 0),), {})

    # -- arithmetic

    def _arithmetic(self, node: onnx.NodeProto) -> None:
        """Convert the sum of two values, or an operation with a constant."""
        constants = [self._constants.get(name) for name in node.input]
        if constants[0] is not None and constants[1] is not None:
            operations = {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.divide}
            self._constants[node.output[0]] = operations[node.op_type](*constants)
        elif constants[0] is None and constants[1] is None:
            if node.op_type != "Add":
                raise self._refusal(node, f"the {node.op_type} of two values")
            self._add_node(node, "add", (self._value(node, 0), self._value(node, 1)), {})
        else:
            self._affine(node, constants)

    def _affine(self, node: onnx.NodeProto, constants: list[Array | None]) -> None:
        place = 0 if constants[1] is not None else 1
        constant = constants[1 - place]
        assert constant is not None
        if constant.size != max(constant.shape, default=1):
            raise self._refusal(node, f"a {node.op_type} by a constant that differs between positions")
        values = constant.reshape(-1).astype(np.float64)
        factor, summand = np.ones_like(values), np.zeros_like(values)
        if node.op_type == "Mul":
            factor = values
        elif node.op_type == "Div" and place == 0:
            factor = 1 / values
        elif node.op_type == "Add":
            summand = values
        elif node.op_type == "Sub":
            factor, summand = (factor, -values) if place == 0 else (-factor, values)
        else:
            raise self._refusal(node, "the division by a value")
        source = self._value(node, place)
        if source == INPUT:
            self._scaling.follow(factor, summand)
            self._names[node.output[0]] = INPUT
        else:
            self._add_node(node, "affine", (source,), {"channels": len(values)}, weight=factor, bias=summand)

    # -- look-up

    def _value(self, node: onnx.NodeProto, place: int) -> str:
        """Return our name of an input, or of the output if ``place`` is -1."""
        name = node.output[0] if place < 0 else node.input[place]
        if name not in self._names:
            raise self._refusal(node, f"a {node.op_type} of a constant")
        return self._names[name]

    def _constant_input(self, node: onnx.NodeProto, place: int) -> Array:
        value = self._constants.get(node.input[place])
        if value is None:
            raise self._refusal(node, f"a {node.op_type} whose weights are computed")
        return value

    def _is_shape(self, node: onnx.NodeProto) -> bool:
        known = self._shape_values | self._constants.keys()
        return node.op_type == "Shape" or all(name in known for name in node.input)

    def _refusal(self, node: onnx.NodeProto, what: str) -> ModelError:
        return ModelError(f"{path_text(self.path)} holds {what} (node {short_repr(node.name)}), which cannot become a "
                          "network for training; use the file as a teacher only")


CONVERTERS: dict[str, Callable[[_GraphReader, onnx.NodeProto], None]] = {
    "Conv": _GraphReader._convolution, "Gemm": _GraphReader._linear, "MatMul": _GraphReader._linear,
    "BatchNormalization": _GraphReader._batchnorm, "PRelu": _GraphReader._prelu, "Relu": _GraphReader._relu,
    "Clip": _GraphReader._clip, "GlobalAveragePool": _GraphReader._pool, "ReduceMean": _GraphReader._pool,
    "Flatten": _GraphReader._flatten, "Reshape": _GraphReader._flatten,
}
"""The operators of layers; `ARITHMETIC` and `IGNORED` are the others that a graph may hold."""


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    return {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}


def _constant(node: onnx.NodeProto) -> Array:
    value = next(iter(_attributes(node).values()))
    return numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else np.array(value)
