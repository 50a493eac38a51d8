"""From a network to an ONNX graph that ONNX Runtime, InsightFace and quantizers can use."""

from __future__ import annotations

import copy
import json
from importlib import metadata

import numpy as np
import onnx
import torch
from onnx import numpy_helper

from facekd.deploy.source import ExportSource
from facekd.deploy.suppress_output import suppress_output
from facekd.errors import ExportError

OPSET = 18
"""The opset in which the exporter's functions are written, so that no version converter changes the graph; every ONNX
Runtime since 1.14 runs it."""

WEIGHTED_OPERATORS = ("Conv", "Gemm", "MatMul")
"""The operators of layers with weights."""

SCALING_NODES = ("Sub_pixels", "Mul_pixels")
"""The names of the nodes that scale pixels, in graphs that contain them."""


def export_graph(source: ExportSource) -> onnx.ModelProto:
    """Trace a source: input "input" [batch, 3, size, size], output "embedding" [batch, dimension], both float32.

    Raises:
        ExportError: the exporter returned no program.
    """
    size = source.spec.size
    example = torch.zeros(2, 3, size, size)  # two images: torch.export treats a batch of one as a constant
    with suppress_output():
        program = torch.onnx.export(
            source.export_module(split_prelu=True), (example,), dynamo=True, verbose=False, opset_version=OPSET,
            input_names=["input"], output_names=["embedding"],
            dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
        )
    if program is None:
        raise ExportError(f"torch.onnx gave no program for {source.spec.name}; try another version of torch")
    proto = program.model_proto
    _clean(proto.graph)
    if source.format.input_dtype == "uint8":
        _name_scaling_nodes(proto.graph)
    return proto


def write_metadata(proto: onnx.ModelProto, source: ExportSource) -> None:
    """Write the producer, the model description and the preprocessing into a model."""
    try:
        version = metadata.version("facekd")
    except metadata.PackageNotFoundError:  # facekd runs from a source tree that was never installed
        version = "unknown"
    proto.producer_name = "facekd"
    proto.producer_version = version
    onnx.helper.set_model_props(proto, {
        "facekd": version, "spec": json.dumps(source.spec.to_dict()),
        "preprocessing": f"RGB, [batch, 3, size, size], {source.format.scaling}",
    })


def sort_nodes(graph: onnx.GraphProto) -> None:
    """Sort the nodes topologically, with the scaling of pixels first: InsightFace looks for it only there.

    Converters append the nodes they add, or put the weights in front.
    """
    producers = {name: node for node in graph.node for name in node.output}
    visited: set[int] = set()
    nodes: list[onnx.NodeProto] = []

    def visit(node: onnx.NodeProto) -> None:
        if id(node) in visited:
            return
        visited.add(id(node))
        for name in node.input:
            if name in producers:
                visit(producers[name])
        nodes.append(node)

    scaling = [node for node in graph.node if node.name in SCALING_NODES]
    for node in (*scaling, *graph.node):
        visit(node)
    copies = copy.deepcopy(nodes)  # deleting from the graph would invalidate the nodes themselves
    del graph.node[:]
    graph.node.extend(copies)


def insightface_notes(size: int) -> list[str]:
    """Return notes on how InsightFace treats a model of this size, if it does not take it for a recognizer.

    ``insightface.model_zoo`` tells types of models apart by their size alone: squares of 96 are attribute models,
    squares of 192 landmark models, and squares of at least 112 that are a multiple of 16 are recognizers; it loads no
    others.
    """
    if size >= 112 and size % 16 == 0 and size != 192:
        return []
    kind = {96: "an attribute model", 192: "a landmark model"}.get(size, "no model it knows")
    return [
        f"InsightFace takes a {size}x{size} input for {kind}: its recognizer needs a square of at least 112 pixels "
        "and a multiple of 16, other than 192. facekd and ONNX Runtime run the file as it is."
    ]


def _clean(graph: onnx.GraphProto) -> None:
    """Delete the exporter's notes, which name source files of this machine, and set denormal weights to zero.

    A source has no denormals, but folding a batch norm into a convolution can create new ones.
    """
    for item in (*graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer, graph):
        del item.metadata_props[:]
    for tensor in graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT:
            values = numpy_helper.to_array(tensor)
            small = np.abs(values) < np.finfo(np.float32).tiny
            if (small & (values != 0)).any():
                tensor.CopyFrom(numpy_helper.from_array(np.where(small, np.float32(0), values), tensor.name))


def _name_scaling_nodes(graph: onnx.GraphProto) -> None:
    """Rename the two nodes that scale pixels, so that InsightFace recognizes them and does not scale again."""
    value = graph.input[0].name
    for operator, name in zip(("Sub", "Mul"), SCALING_NODES, strict=True):
        node = next((n for n in graph.node if n.op_type == operator and value in n.input), None)
        if node is None:
            raise ExportError(
                f"torch.onnx wrote the scaling of pixels without {operator}, so InsightFace would scale twice; "
                "leave the scaling outside, or try another version of torch"
            )
        node.name = name
        value = node.output[0]
    sort_nodes(graph)
