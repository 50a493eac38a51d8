"""The operators of ONNX that have a layer of ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from facekd.models.graph.description import INPUT
from facekd.models.graph.onnx_reader import Array, GraphReader

SHAPE_OPERATORS = ("Shape", "Gather", "Unsqueeze", "Concat", "Cast", "Slice", "Squeeze")
"""Operators that older exporters write to compute the shape to which a map is flattened."""
LARGEST = 1e30
"""The bound of a `clip` layer that does not limit."""


def read_operator(reader: GraphReader, node: onnx.NodeProto) -> None:
    """Convert one operator.

    Raises:
        ModelError: the operator, or the way it is used, has no counterpart; the message names it.
    """
    if node.op_type == "Constant":
        value = next(iter(_attributes(node).values()))
        reader.constants[node.output[0]] = (
            numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else np.array(value)
        )
    elif node.op_type in SHAPE_OPERATORS:
        _shape(reader, node)
    elif convert := OPERATORS.get(node.op_type):
        convert(reader, node)
    else:
        raise reader.refusal(node, f"the operator {node.op_type}")


def _convolution(reader: GraphReader, node: onnx.NodeProto) -> None:
    weight = reader.constant(node, 1)
    bias = reader.constant(node, 2) if len(node.input) > 2 and node.input[2] else None
    attributes = _attributes(node)
    kernel, strides = weight.shape[2:], attributes.get("strides", [1, 1])
    pads, dilations = attributes.get("pads", [0] * 4), attributes.get("dilations", [1, 1])
    is_square = len(kernel) == 2 and all(len(set(values)) == 1 for values in (kernel, strides, pads))
    if not is_square or set(dilations) != {1} or attributes.get("auto_pad", b"NOTSET") != b"NOTSET":
        raise reader.refusal(node, "a Conv that is not square, is dilated or is padded differently on its sides")
    groups = int(attributes.get("group", 1))
    options = {"inputs": weight.shape[1] * groups, "outputs": len(weight), "kernel": int(kernel[0]),
               "stride": int(strides[0]), "padding": int(pads[0]), "groups": groups, "bias": bias is not None}
    reader.add(node, "convolution", (reader.value(node),), options, weight=weight, bias=bias)


def _linear(reader: GraphReader, node: onnx.NodeProto) -> None:
    attributes = _attributes(node)
    weight = reader.constant(node, 1)
    if attributes.get("transA", 0) or weight.ndim != 2:
        raise reader.refusal(node, f"a {node.op_type} of another form than a linear layer")
    weight = attributes.get("alpha", 1.0) * (weight if attributes.get("transB", 0) else weight.T)
    bias = None
    if len(node.input) > 2 and node.input[2]:
        bias = np.broadcast_to(attributes.get("beta", 1.0) * reader.channel_values(node, 2), len(weight))
    options = {"inputs": weight.shape[1], "outputs": len(weight), "bias": bias is not None}
    reader.add(node, "linear", (reader.value(node),), options, weight=weight, bias=bias)


def _batchnorm(reader: GraphReader, node: onnx.NodeProto) -> None:
    weight, bias, mean, var = (reader.constant(node, index) for index in range(1, 5))
    source = reader.value(node)
    options = {"channels": len(weight), "eps": float(_attributes(node).get("epsilon", 1e-5)),
               "flat": reader.is_vector(source)}
    reader.add(node, "batchnorm", (source,), options, weight=weight, bias=bias, running_mean=mean, running_var=var)


def _prelu(reader: GraphReader, node: onnx.NodeProto) -> None:
    slope = reader.channel_values(node, 1)
    reader.add(node, "prelu", (reader.value(node),), {"channels": len(slope)}, weight=slope)


def _clip(reader: GraphReader, node: onnx.NodeProto) -> None:
    bounds = {}
    for index, key, default in ((1, "min", -LARGEST), (2, "max", LARGEST)):
        is_given = len(node.input) > index and node.input[index]
        bounds[key] = float(reader.constant(node, index) if is_given else _attributes(node).get(key, default))
    options = {"low": max(bounds["min"], -LARGEST), "high": min(bounds["max"], LARGEST)}
    reader.add(node, "clip", (reader.value(node),), options)


def _relu(reader: GraphReader, node: onnx.NodeProto) -> None:
    reader.add(node, "relu", (reader.value(node),), {})


def _pool(reader: GraphReader, node: onnx.NodeProto) -> None:
    attributes = _attributes(node)
    axes = reader.constant(node, 1).tolist() if len(node.input) > 1 else attributes.get("axes", [2, 3])
    if sorted(axis % 4 for axis in axes) != [2, 3]:
        raise reader.refusal(node, f"a {node.op_type} over other axes than those of a map")
    reader.add(node, "pool", (reader.value(node),), {})
    if not attributes.get("keepdims", 1):
        reader.add(node, "flatten", (reader.nodes[-1].name,), {})


def _flatten(reader: GraphReader, node: onnx.NodeProto) -> None:
    shape = reader.constant(node, 1) if reader.is_constant(node, 1) else np.zeros(2)
    if _attributes(node).get("axis", 1) != 1 or len(shape) != 2:
        raise reader.refusal(node, f"a {node.op_type} that does not give one vector an image")
    source = reader.value(node)
    if reader.is_vector(source):
        reader.rename(node, source)
    else:
        reader.add(node, "flatten", (source,), {})


def _identity(reader: GraphReader, node: onnx.NodeProto) -> None:
    if reader.is_constant(node, 0):
        reader.constants[node.output[0]] = reader.constant(node, 0)
    else:
        reader.rename(node, reader.value(node))


def _shape(reader: GraphReader, node: onnx.NodeProto) -> None:
    """Skip the computation of a shape; only `_flatten` has a use for it, and checks nothing but that there is one.

    A Cast of a value that is no shape changes its type alone.
    """
    if node.op_type == "Cast" and reader.is_value(node):
        reader.rename(node, reader.value(node))
        return
    if node.op_type != "Shape" and not all(name in reader.shapes or name in reader.constants for name in node.input):
        raise reader.refusal(node, f"the operator {node.op_type}")
    reader.shapes.add(node.output[0])


def _arithmetic(reader: GraphReader, node: onnx.NodeProto) -> None:
    """Convert the sum of two values, or an operation with a constant."""
    indices = [index for index in range(2) if reader.is_constant(node, index)]
    if len(indices) == 2:
        operation: dict[str, Callable[[Array, Array], Array]] = {
            "Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.divide,
        }
        reader.constants[node.output[0]] = operation[node.op_type](reader.constant(node, 0), reader.constant(node, 1))
    elif indices:
        _affine(reader, node, indices[0])
    elif node.op_type == "Add":
        reader.add(node, "add", (reader.value(node, 0), reader.value(node, 1)), {})
    else:
        raise reader.refusal(node, f"the {node.op_type} of two values")


def _affine(reader: GraphReader, node: onnx.NodeProto, index: int) -> None:
    """Convert an operation with the constant at ``index``; before the first layer it is a part of the scaling."""
    constant = reader.channel_values(node, index).astype(np.float64)
    one, zero = np.ones_like(constant), np.zeros_like(constant)
    match node.op_type, index:
        case "Mul", _:
            factor, summand = constant, zero
        case "Add", _:
            factor, summand = one, constant
        case "Sub", 1:
            factor, summand = one, -constant
        case "Sub", 0:
            factor, summand = -one, constant
        case "Div", 1:
            factor, summand = 1 / constant, zero
        case _:
            raise reader.refusal(node, "the division by a value")
    source = reader.value(node, 1 - index)
    if source == INPUT:
        reader.scaling.follow(factor, summand)
        reader.rename(node, INPUT)
    else:
        reader.add(node, "affine", (source,), {"channels": len(constant)}, weight=factor, bias=summand)


OPERATORS: dict[str, Callable[[GraphReader, onnx.NodeProto], None]] = {
    "Conv": _convolution, "Gemm": _linear, "MatMul": _linear, "BatchNormalization": _batchnorm, "PRelu": _prelu,
    "Relu": _relu, "Clip": _clip, "GlobalAveragePool": _pool, "ReduceMean": _pool, "Flatten": _flatten,
    "Reshape": _flatten, "Identity": _identity, "Dropout": _identity, "Add": _arithmetic, "Sub": _arithmetic,
    "Mul": _arithmetic, "Div": _arithmetic,
}
"""The converters by operator; constants and `SHAPE_OPERATORS` are the others that a graph may hold."""


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    return {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
