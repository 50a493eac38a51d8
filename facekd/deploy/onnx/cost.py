"""The cost of any ONNX file: bytes, parameters and multiply-adds, counted in its graph."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx.external_data_helper import load_external_data_for_model

from facekd.deploy.onnx.graph import WEIGHTED_OPERATORS
from facekd.errors import ModelError
from facekd.io.onnx_file import FETCH_AGAIN, external_weights, read_model
from facekd.io.reading import reading

INDEX_TYPES = (onnx.TensorProto.INT64, onnx.TensorProto.BOOL)
"""Types of shapes, axes and the like; tensors of all other types count as weights."""


@dataclass(frozen=True)
class OnnxCost:
    """The cost of an ONNX file.

    Attributes:
        bytes: size of the file and of the external files that hold its weights.
        parameters: number of stored weights. A batch norm folded into its convolution has none left; the scales of
            int8 weights are counted.
        macs: multiply-adds of convolutions and matrix products for one image, as `facekd.models.complexity.count_macs`
            counts them; None if a shape is unknown or an operator is not one of ONNX's own.
    """

    bytes: int
    parameters: int
    macs: int | None


def count_onnx_cost(path: Path) -> OnnxCost:
    """Count the bytes, parameters and multiply-adds of an ONNX file.

    Raises:
        ModelError: the path is not an ONNX file, or its external weights are missing.
    """
    model = read_model(path)
    external = external_weights(path, model)
    with reading(path, ModelError, kind="an ONNX graph", remedy=FETCH_AGAIN):
        return _count(path, model, external)


def _count(path: Path, model: onnx.ModelProto, external: list[Path]) -> OnnxCost:
    size = sum(file.stat().st_size for file in (path, *external))
    weights = model.graph.initializer
    if external:
        load_external_data_for_model(model, str(path.parent))  # a shape that a Reshape reads can be among them
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")  # stored shapes, here and in value_info, can have another batch
    del model.graph.value_info[:]
    graph = onnx.shape_inference.infer_shapes(model).graph
    shapes = {tensor.name: tuple(tensor.dims) for tensor in weights} | {
        value.name: tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
        for value in (*graph.value_info, *graph.input, *graph.output)
    }
    counts = [_count_macs(node, shapes) for node in graph.node if node.op_type in WEIGHTED_OPERATORS or node.domain]
    parameters = sum(math.prod(tensor.dims) for tensor in weights if tensor.data_type not in INDEX_TYPES)
    return OnnxCost(size, parameters, None if None in counts else sum(count or 0 for count in counts))


def _count_macs(node: onnx.NodeProto, shapes: dict[str, tuple[int, ...]]) -> int | None:
    """Return the multiply-adds of one node; None if they are unknown."""
    if node.op_type not in WEIGHTED_OPERATORS:
        return None
    output, data, weight = (shapes.get(name, ()) for name in (node.output[0], *node.input[:2]))
    if not (output and data and weight) or 0 in (*output, *data, *weight):
        return None
    if node.op_type == "Conv":
        return math.prod(output) * math.prod(weight[1:])
    transposed = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
    return math.prod(output) * data[0 if transposed else -1]
