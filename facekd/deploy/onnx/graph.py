"""From a frozen network to an ONNX graph: traced, cleaned, ordered, and told how it is fed."""

from __future__ import annotations

import copy
import json
from importlib import metadata

import numpy as np
import onnx
import torch
from onnx import numpy_helper

from facekd.deploy.quiet import quiet
from facekd.deploy.source import Source
from facekd.errors import ExportError

OPSET = 18
"""The one the exporter's functions are written in, so that no version converter touches the graph; every ONNX Runtime
since 1.14 runs it."""

MULTIPLIES = ("Conv", "Gemm", "MatMul")
"""The operators with weights."""

SCALING = ("Sub_pixels", "Mul_pixels")
"""What the nodes that scale pixels are called, where a graph has them."""


def trace(source: Source) -> onnx.ModelProto:
    """The graph of a source: input "input" [batch, 3, size, size], output "embedding" [batch, dimension], float32.

    Raises:
        ExportError: the exporter gave nothing.
    """
    size = source.spec.size
    example = torch.zeros(2, 3, size, size)  # two: torch.export takes a batch of one for a constant
    with quiet():
        program = torch.onnx.export(
            source.graph(split_prelu=True), (example,), dynamo=True, verbose=False, opset_version=OPSET,
            input_names=["input"], output_names=["embedding"],
            dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
        )
    if program is None:
        raise ExportError(f"torch.onnx gave no program for {source.spec.name}; try another version of torch")
    proto = program.model_proto
    _clean(proto.graph)
    if source.form.pixels == "uint8":
        _name_scaling(proto.graph)
    return proto


def describe(proto: onnx.ModelProto, source: Source) -> None:
    """Write into a file what it is and how it is fed."""
    try:
        version = metadata.version("facekd")
    except metadata.PackageNotFoundError:  # run from a source tree that was never installed
        version = "unknown"
    proto.producer_name, proto.producer_version = "facekd", version
    onnx.helper.set_model_props(proto, {
        "facekd": version, "spec": json.dumps(source.spec.to_dict()),
        "preprocessing": f"RGB, [batch, 3, size, size], {source.form.scaling}",
    })


def order(graph: onnx.GraphProto) -> None:
    """Sort the nodes, each after what it reads, with the scaling of pixels first: only there InsightFace looks for it.

    Converters append what they add, or put the weights in front.
    """
    makers = {name: node for node in graph.node for name in node.output}
    done: set[int] = set()
    nodes: list[onnx.NodeProto] = []

    def place(node: onnx.NodeProto) -> None:
        if id(node) in done:
            return
        done.add(id(node))
        for name in node.input:
            if name in makers:
                place(makers[name])
        nodes.append(node)

    scaling = [node for node in graph.node if node.name in SCALING]
    for node in (*scaling, *graph.node):
        place(node)
    copies = copy.deepcopy(nodes)
    del graph.node[:]
    graph.node.extend(copies)


def routing_notes(size: int) -> list[str]:
    """What InsightFace does with a model of this size, where that is not what one expects.

    ``insightface.model_zoo`` tells kinds of models apart by size alone: squares of 96 are attribute models and of 192
    landmark models, squares of at least 112 that are a multiple of 16 are recognisers, all others nothing.
    """
    if size >= 112 and size % 16 == 0 and size != 192:
        return []
    taken = {96: "an attribute model", 192: "a landmark model"}.get(size, "no model it knows")
    return [
        f"InsightFace takes a {size}x{size} input for {taken}: its recogniser wants a square of at least 112 pixels "
        "and a multiple of 16, other than 192. facekd and ONNX Runtime run the file as it is."
    ]


def _clean(graph: onnx.GraphProto) -> None:
    """Drop the exporter's notes (they name source files of this machine) and make denormal weights zero.

    A source has none, but folding a batch norm into a convolution can make new ones.
    """
    for item in (*graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer, graph):
        del item.metadata_props[:]
    for tensor in graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT:
            values = numpy_helper.to_array(tensor)
            small = np.abs(values) < np.finfo(np.float32).tiny
            if (small & (values != 0)).any():
                tensor.CopyFrom(numpy_helper.from_array(np.where(small, np.float32(0), values), tensor.name))


def _name_scaling(graph: onnx.GraphProto) -> None:
    """Give the two nodes that scale pixels names by which InsightFace knows that it must not do it as well."""
    name = graph.input[0].name
    for kind, given in zip(("Sub", "Mul"), SCALING, strict=True):
        node = next((n for n in graph.node if n.op_type == kind and name in n.input), None)
        if node is None:
            raise ExportError(
                f"torch.onnx wrote the scaling of pixels without {kind}, so InsightFace would scale twice; "
                "leave the scaling outside, or try another version of torch"
            )
        node.name, name = given, node.output[0]
    order(graph)
