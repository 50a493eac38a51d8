"""PReLU of an ONNX graph in an equal form that ONNX Runtime runs about twice as fast on a CPU.

`facekd.deploy.prelu` gives our own exports this form.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from facekd.io.onnx_session import open_session

MAX_BYTES = 256 << 20
"""Largest model in bytes that is rewritten: for a moment there are four copies of it in memory."""


def open_split_form(model: onnx.ModelProto, threads: int | None) -> ort.InferenceSession | None:
    """Open a model with its PReLUs replaced by `split_prelu`, on the CPU; modifies ``model``.

    Args:
        model: the model, with its weights.
        threads: number of threads inside one operator; None for ONNX Runtime's choice.

    Returns:
        The session; None if there is nothing to replace, or the model is too large or cannot be opened in this form.
    """
    if model.ByteSize() > MAX_BYTES:
        return None
    try:
        if not split_prelu(model):
            return None
        return open_session(model.SerializeToString(), threads=threads)
    except Exception:  # of ONNX Runtime and onnx, without a common base: the file itself is run then
        return None


def split_prelu(model: onnx.ModelProto) -> int:
    """Replace every PRelu of constant float32 slopes a by ``a * x + (1 - a) * relu(x)``; modifies ``model``.

    ONNX Runtime has no PRelu for its blocked memory layout, and reorders the values before and after each one. A
    quantized graph is left as it is: its operators are fused around the quantization of values.

    Args:
        model: the model, with its weights.

    Returns:
        The number of replaced nodes.
    """
    is_quantized = any(node.op_type.lower().endswith("quantizelinear") for node in model.graph.node)
    constants = {} if is_quantized else dict(_float_constants(model.graph))
    nodes: list[onnx.NodeProto] = []
    replaced = 0
    for node in model.graph.node:
        if node.op_type != "PRelu" or node.domain or node.input[1] not in constants:
            nodes.append(node)
            continue
        replaced += 1
        rest = numpy_helper.from_array(1 - constants[node.input[1]], f"{node.output[0]}.facekd.rest")
        model.graph.initializer.append(rest)
        nodes += _split(node, rest.name)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return replaced


def _float_constants(graph: onnx.GraphProto) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Yield the float32 constants that are slopes of a PRelu, by name."""
    slopes = {node.input[1] for node in graph.node if node.op_type == "PRelu" and len(node.input) == 2}
    inputs = {value.name for value in graph.input}  # an initializer that is an input as well may be fed
    for tensor in graph.initializer:
        if tensor.name in slopes - inputs and tensor.data_type == TensorProto.FLOAT:
            yield tensor.name, numpy_helper.to_array(tensor)
    for node in graph.node:
        if node.op_type == "Constant" and node.output[0] in slopes:
            for attribute in node.attribute:
                if attribute.name == "value" and attribute.t.data_type == TensorProto.FLOAT:
                    yield node.output[0], numpy_helper.to_array(attribute.t)


def _split(node: onnx.NodeProto, rest: str) -> list[onnx.NodeProto]:
    x, slope = node.input
    (output,) = node.output
    positive, scaled, negative = (f"{output}.facekd.{name}" for name in ("relu", "scaled", "product"))
    return [
        helper.make_node("Relu", [x], [positive]),
        helper.make_node("Mul", [positive, rest], [scaled]),
        helper.make_node("Mul", [x, slope], [negative]),
        helper.make_node("Add", [negative, scaled], [output], node.name),
    ]
