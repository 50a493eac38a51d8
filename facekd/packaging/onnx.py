"""A trained network to one ONNX file with a dynamic batch, kept only if it answers as the network does."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper

from facekd.errors import ExportError, ModelError
from facekd.files import atomic
from facekd.models.onnx_embedder import OnnxEmbedder
from facekd.models.registry import Network
from facekd.packaging.parity import TOLERANCE, Parity, compare
from facekd.packaging.prelu import without_prelu
from facekd.packaging.quiet import quiet

PREPROCESSING = "RGB, [batch, 3, size, size], (x - 127.5) / 127.5"


@dataclass(frozen=True)
class OnnxExport:
    """What came of an export.

    Attributes:
        path: the file.
        parity: how far its embeddings lie from the network's.
        notes: what a user of the file has to know, one sentence each.
    """

    path: Path
    parity: Parity
    notes: list[str]


def export_onnx(
    model: Network, path: Path, *, crops: NDArray[np.uint8] | None = None, rewrite_prelu: bool = True
) -> OnnxExport:
    """Write a network as one ONNX file: input "input" [batch, 3, size, size], output "embedding" [batch, dimension].

    Pixels are scaled outside, as InsightFace does it; all weights lie in the file. ``path`` is written whole or, on any
    error, not at all.

    Args:
        model: a network of the registry; it is copied and not changed.
        path: where the file goes.
        crops: uint8 [images, size, size, 3] RGB, faces to compare on besides random pixels.
        rewrite_prelu: spell PReLU in the equal form that ONNX Runtime runs faster.

    Raises:
        ExportError: the file cannot run, or an L2-normalised embedding differs from the network's by more than 1e-4 at
            batch 1, 2 or 7 or on the crops, or InsightFace would scale its pixels wrongly.
    """
    size = model.spec.size
    if model.spec.pixels != "unit":
        raise ExportError(
            f"{model.spec.name} takes pixels scaled as '{model.spec.pixels}'; packages are for networks that take "
            "(x - 127.5) / 127.5 (model.pixels=unit), as InsightFace feeds them"
        )
    if crops is not None and crops.shape[1:] != (size, size, 3):
        wanted = f"[images, {size}, {size}, 3]"
        raise ExportError(f"the crops to compare on are {list(crops.shape)}, {model.spec.name} takes {wanted}")
    proto = _trace(without_prelu(_frozen(model)) if rewrite_prelu else _frozen(model), size)
    _clean(proto)
    _describe(proto, model)
    with atomic(path) as temporary:
        temporary.write_bytes(proto.SerializeToString(deterministic=True))
        parity = _checked(_frozen(model), temporary, path, crops)
    return OnnxExport(path, parity, routing_notes(size))


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


def _frozen(model: Network) -> Network:
    return copy.deepcopy(model).float().cpu().eval()


def _trace(model: Network, size: int) -> onnx.ModelProto:
    example = torch.zeros(2, 3, size, size)  # two: torch.export takes a batch of one for a constant
    with quiet():
        program = torch.onnx.export(
            model, (example,), dynamo=True, verbose=False, input_names=["input"], output_names=["embedding"],
            dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
        )
    if program is None:
        raise ExportError(f"torch.onnx gave no program for {model.spec.name}; try another version of torch")
    return program.model_proto


def _clean(proto: onnx.ModelProto) -> None:
    """Drop the exporter's notes (they name source files of this machine) and make denormal weights zero.

    Denormals slow some processors down a hundredfold; zeros are the same to within 1e-38.
    """
    graph = proto.graph
    for item in (*graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer, graph):
        del item.metadata_props[:]
    for tensor in graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT:
            values = numpy_helper.to_array(tensor)
            small = np.abs(values) < np.finfo(np.float32).tiny
            if (small & (values != 0)).any():
                tensor.CopyFrom(numpy_helper.from_array(np.where(small, np.float32(0), values), tensor.name))


def _describe(proto: onnx.ModelProto, model: Network) -> None:
    try:
        version = metadata.version("facekd")
    except metadata.PackageNotFoundError:  # run from a source tree that was never installed
        version = "unknown"
    proto.producer_name, proto.producer_version = "facekd", version
    onnx.helper.set_model_props(
        proto, {"facekd": version, "spec": json.dumps(model.spec.to_dict()), "preprocessing": PREPROCESSING}
    )


def _checked(model: Network, file: Path, path: Path, crops: NDArray[np.uint8] | None) -> Parity:
    """The parity of a written file.

    Raises:
        ExportError: it cannot stay; ``path`` is what the message calls it.
    """
    try:
        exported = OnnxEmbedder(file, size=model.spec.size, threads=1)
        if exported.fixed or exported.batch == 1:
            raise ExportError(f"{path} was refused: its graph runs one image at a time, a dynamic batch is needed")
        if exported.raw_pixels:
            raise ExportError(f"{path} was refused: its first node names make InsightFace feed it 0..255; rename them")
        parity = compare(model, exported, crops)
    except ModelError as error:
        raise ExportError(f"{path} was refused: {error}") from error
    if not parity.worst <= TOLERANCE:  # also refuses NaN
        raise ExportError(
            f"{path} was refused: its embeddings differ from the network's by up to {parity.worst:.2g} "
            f"({TOLERANCE:g} is allowed); try rewrite_prelu=False, or another version of torch or onnxscript"
        )
    return parity
