"""Follow the input of an ONNX graph through the operators that treat every pixel alike."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

Values = NDArray[np.float64]
Constants = dict[str, NDArray[np.generic]]
MAX_STEPS = 64
_PASSED = ("Identity", "Cast", "Dropout", "Clip", "QuantizeLinear", "DequantizeLinear")
"""Operators that neither scale nor move pixels (a pair that quantizes rounds them)."""
_MAX_CONSTANT = 64
"""Elements of the largest constant that is read: scales of channels have three."""


@dataclass
class PixelMap:
    """What a graph has done with its input at one tensor: ``scale * x + offset``, per channel of the input.

    Attributes:
        name: the tensor.
        axis: the axis of the channels.
        operator: the operator that made the tensor; empty for the input.
        order: the channel of the input at each place.
        scale: float64 [3], by channel of the input.
        offset: float64 [3], by channel of the input.
    """

    name: str
    axis: int
    operator: str = ""
    order: list[int] = field(default_factory=lambda: [0, 1, 2])
    scale: Values = field(default_factory=lambda: np.ones(3))
    offset: Values = field(default_factory=lambda: np.zeros(3))


def follow_input(graph: onnx.GraphProto, name: str, axis: int) -> Iterator[PixelMap]:
    """Yield the state of the input, the same object, after each operator up to the first that mixes pixels.

    Args:
        graph: the graph.
        name: the input.
        axis: the axis of its channels.
    """
    constants = _constants(graph)
    state = PixelMap(name, axis)
    for _ in range(MAX_STEPS):
        readers = [node for node in graph.node if state.name in node.input and node.op_type != "Shape"]
        if len(readers) == 1 and readers[0].op_type != "Split":
            if not _step(readers[0], state, constants):
                return
            state.operator = readers[0].op_type
        else:
            if not _joined_channels(graph, readers, state, constants):
                return
            state.operator = "Concat"
        yield state


def _step(node: onnx.NodeProto, state: PixelMap, constants: Constants) -> bool:
    """Follow the input through one node; return False if the node mixes pixels or is not understood."""
    operator = node.op_type
    if operator == "Transpose":
        order = _ints(node, "perm")
        if sorted(order) != [0, 1, 2, 3]:
            return False
        state.axis = order.index(state.axis)
    elif operator in ("Gather", "GatherND", "Slice"):
        order = _taken_channels(node, state.axis, constants)
        if sorted(order) != [0, 1, 2]:
            return False
        state.order = [state.order[position] for position in order]
    elif operator in ("Sub", "Add", "Mul", "Div"):
        if not _arithmetic(node, state, constants):
            return False
    elif operator == "BatchNormalization":
        if not _batch_norm(node, state, constants):
            return False
    elif operator not in _PASSED or node.input[0] != state.name:
        return False
    state.name = node.output[0]
    return True


def _arithmetic(node: onnx.NodeProto, state: PixelMap, constants: Constants) -> bool:
    first = node.input[0] == state.name
    other = constants.get(node.input[1 if first else 0])
    if other is None or other.ndim > 4 or (node.op_type == "Div" and not first):
        return False
    shape = (1,) * (4 - other.ndim) + other.shape
    if other.size not in (1, 3) or (other.size == 3 and shape[state.axis] != 3):
        return False
    values = np.empty(3)
    values[state.order] = np.broadcast_to(other.astype(np.float64).ravel(), 3)
    if node.op_type in ("Mul", "Div"):
        factor = values if node.op_type == "Mul" else 1 / np.where(values == 0, np.nan, values)
        state.scale, state.offset = state.scale * factor, state.offset * factor
    elif node.op_type == "Add":
        state.offset = state.offset + values
    else:
        sign = 1 if first else -1
        state.scale, state.offset = sign * state.scale, sign * (state.offset - values)
    return True


def _batch_norm(node: onnx.NodeProto, state: PixelMap, constants: Constants) -> bool:
    operands = [constants.get(name) for name in node.input[1:5]]
    if state.axis != 1 or len(operands) != 4 or any(operand is None or operand.shape != (3,) for operand in operands):
        return False
    gain, bias, mean, variance = (np.asarray(operand, np.float64) for operand in operands)
    epsilon = next((attribute.f for attribute in node.attribute if attribute.name == "epsilon"), 1e-5)
    factor, shift = np.empty(3), np.empty(3)
    factor[state.order] = gain / np.sqrt(np.maximum(variance, 0) + epsilon)
    shift[state.order] = bias - mean * factor[state.order]
    state.scale, state.offset = state.scale * factor, state.offset * factor + shift
    return True


def _taken_channels(node: onnx.NodeProto, axis: int, constants: Constants) -> list[int]:
    """Return the positions of the channels that a node takes; empty if it takes something else."""
    if node.op_type == "Gather":
        indices = constants.get(node.input[1])
        at = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 0)
        if indices is None or at % 4 != axis:
            return []
        return [int(index) % 3 for index in indices.ravel()]
    if node.op_type == "GatherND":  # torch.onnx transposes the channels to the front first
        indices = constants.get(node.input[1])
        batched = any(attribute.name == "batch_dims" and attribute.i for attribute in node.attribute)
        if axis != 0 or batched or indices is None or indices.shape != (3, 1):
            return []
        return [int(index) % 3 for index in indices.ravel()]
    operands = [constants.get(name) for name in node.input[1:]]
    if len(operands) < 3 or any(operand is None or operand.size != 1 for operand in operands):
        return []
    start, stop, at, *step = (int(operand.ravel()[0]) for operand in operands if operand is not None)
    return list(range(3))[slice(start, stop if stop >= -3 else None, step[0] if step else 1)] if at % 4 == axis else []


def _joined_channels(graph: onnx.GraphProto, readers: list[onnx.NodeProto], state: PixelMap,
                     constants: Constants) -> bool:
    """Follow single channels that a Concat joins again; return False for anything else."""
    positions: dict[str, int] = {}
    for node in readers:
        if node.op_type == "Split":
            positions.update((name, position) for position, name in enumerate(node.output))
            continue
        taken = _taken_channels(node, state.axis, constants) if node.op_type in ("Gather", "Slice") else []
        if len(taken) != 1:
            return False
        positions[node.output[0]] = taken[0]
    join = next((node for node in graph.node if node.op_type == "Concat" and set(node.input) == set(positions)), None)
    if join is None or len(join.input) != 3 or sorted(positions.values()) != [0, 1, 2]:
        return False
    state.order = [state.order[positions[name]] for name in join.input]
    state.name = join.output[0]
    return True


def _constants(graph: onnx.GraphProto) -> Constants:
    """Return the small constants of a graph by name: initializers, Constant nodes, and copies and casts of them."""
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer if _is_small(tensor)}
    for node in graph.node:
        if node.op_type == "Constant":
            constants.update((node.output[0], value) for value in _constant_value(node))
        elif node.op_type in ("Identity", "Cast") and node.input[0] in constants:
            constants[node.output[0]] = constants[node.input[0]]
    return constants


def _constant_value(node: onnx.NodeProto) -> Iterator[NDArray[np.generic]]:
    for attribute in node.attribute:
        if attribute.name == "value" and _is_small(attribute.t):
            yield numpy_helper.to_array(attribute.t)
        elif attribute.name in ("value_float", "value_int", "value_floats", "value_ints"):
            value = np.asarray(onnx.helper.get_attribute_value(attribute))
            if value.size <= _MAX_CONSTANT:
                yield value


def _is_small(tensor: onnx.TensorProto) -> bool:
    return (tensor.data_location != onnx.TensorProto.EXTERNAL and all(0 <= dim <= _MAX_CONSTANT for dim in tensor.dims)
            and int(np.prod(tensor.dims)) <= _MAX_CONSTANT)


def _ints(node: onnx.NodeProto, name: str) -> list[int]:
    return next((list(attribute.ints) for attribute in node.attribute if attribute.name == name), [])
