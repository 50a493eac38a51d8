"""What an ONNX file of anybody costs: parameters and multiply-adds, counted in its graph."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx.external_data_helper import ExternalDataInfo, load_external_data_for_model, uses_external_data

from facekd.deploy.onnx.graph import MULTIPLIES
from facekd.errors import ModelError

INDICES = (onnx.TensorProto.INT64, onnx.TensorProto.BOOL)
"""Types of shapes, axes and the like; all others are taken for weights."""


@dataclass(frozen=True)
class OnnxCost:
    """What an ONNX file costs.

    Attributes:
        bytes: of the file and those beside it that hold its weights.
        parameters: numbers stored as weights. A batch norm that was folded into its convolution has none left; scales
            of int8 weights are some.
        macs: multiply-adds of convolutions and matrix products for one image, as `facekd.models.complexity.macs` counts
            them; None where shapes are open or an operator is none of ONNX's own.
    """

    bytes: int
    parameters: int
    macs: int | None


def onnx_cost(path: Path) -> OnnxCost:
    """Count what stands in a graph.

    Raises:
        ModelError: not an ONNX file, or its weights are not beside it.
    """
    try:
        model = onnx.load(str(path), load_external_data=False)
        weights = model.graph.initializer
        beside = {ExternalDataInfo(tensor).location for tensor in weights if uses_external_data(tensor)}
        size = sum(file.stat().st_size for file in (path, *(path.parent / name for name in beside)))
        load_external_data_for_model(model, str(path.parent))  # a shape that a Reshape reads may be among them
        model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
        for value in model.graph.output:
            value.type.tensor_type.ClearField("shape")  # it and those in between may say another batch
        del model.graph.value_info[:]
        graph = onnx.shape_inference.infer_shapes(model).graph
    except (DecodeError, OSError, IndexError, onnx.shape_inference.InferenceError) as error:
        raise ModelError(f"{path} cannot be read as an ONNX graph ({error}); fetch or export it again") from error
    shapes = {tensor.name: tuple(tensor.dims) for tensor in weights} | {
        value.name: tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
        for value in (*graph.value_info, *graph.input, *graph.output)
    }
    counts = [_macs(node, shapes) for node in graph.node if node.op_type in MULTIPLIES or node.domain]
    parameters = sum(math.prod(tensor.dims) for tensor in weights if tensor.data_type not in INDICES)
    return OnnxCost(size, parameters, None if None in counts else sum(count or 0 for count in counts))


def _macs(node: onnx.NodeProto, shapes: dict[str, tuple[int, ...]]) -> int | None:
    """Of one node; None where it cannot be said."""
    if node.op_type not in MULTIPLIES:
        return None
    out, given, weight = (shapes.get(name, ()) for name in (node.output[0], *node.input[:2]))
    if not (out and given and weight) or 0 in (*out, *given, *weight):
        return None
    if node.op_type == "Conv":
        return math.prod(out) * math.prod(weight[1:])
    turned = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
    return math.prod(out) * given[0 if turned else -1]
