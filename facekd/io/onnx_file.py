"""Bounded reading of ONNX files that may come from anybody: the model, its external weights, and their fingerprint."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterator
from pathlib import Path

import onnx
from onnx.external_data_helper import ExternalDataInfo, uses_external_data

from facekd.errors import ModelError
from facekd.io.files import sha256
from facekd.io.reading import read_bytes, reading
from facekd.text import path_text, shorten

FILE_LIMIT = (1 << 31) - 1
"""Largest ONNX file in bytes: protobuf itself has this limit; larger models keep their weights in other files."""
EXTERNAL_LIMIT = 16 << 30
"""Largest total size in bytes of the files that hold a model's weights."""
FETCH_AGAIN = "fetch or export it again"


def read_model(path: Path) -> onnx.ModelProto:
    """Read an ONNX file, without weights in external files.

    Raises:
        ModelError: the file does not exist, is truncated, is not an ONNX file, or has no graph.
    """
    content = read_bytes(path, ModelError, limit=FILE_LIMIT, remedy=FETCH_AGAIN)
    with reading(path, ModelError, kind="an ONNX file", remedy=FETCH_AGAIN):
        model = onnx.load_model_from_string(content, format="protobuf")
        has_graph = bool(model.graph.node)
    if not has_graph:
        raise ModelError(f"{path_text(path)} is not an ONNX file: it holds no graph; {FETCH_AGAIN}")
    return model


def external_weights(path: Path, model: onnx.ModelProto) -> list[Path]:
    """Return the files, sorted, that hold weights of a model; nothing is opened.

    Args:
        path: the ONNX file.
        model: its content.

    Raises:
        ModelError: a file is missing, is outside of the folder of ``path`` (also by a link), or all of them together
            are larger than `EXTERNAL_LIMIT`.
    """
    with reading(path, ModelError, kind="an ONNX file", remedy=FETCH_AGAIN):
        locations = sorted({ExternalDataInfo(tensor).location for tensor in _tensors(model.graph)
                            if uses_external_data(tensor)})
        folder = path.parent.resolve()
        files = [(folder / location).resolve() for location in locations]
    for location, file in zip(locations, files, strict=True):
        if ".." in Path(location).parts or not file.is_relative_to(folder):
            raise ModelError(f"{path_text(path)} names weights outside of its folder ({shorten(location)}), which are "
                             "not read; save it as one file: onnx.save(onnx.load(...), ...)")
        if not os.path.isfile(file):  # unlike Path.is_file it takes names that are too long
            raise ModelError(f"{path_text(path)} keeps its weights in {shorten(location)}, which is not in its folder; "
                             "copy it there")
    size = sum(file.stat().st_size for file in files)
    if size > EXTERNAL_LIMIT:
        raise ModelError(f"{path_text(path)} keeps more than {EXTERNAL_LIMIT >> 30} GiB of weights in other files; "
                         "check the files")
    _check_shapes(path, model, size)
    return files


def _check_shapes(path: Path, model: onnx.ModelProto, size: int) -> None:
    """Refuse a weight in another file that has more elements than the files have bits: memory is taken for it first."""
    for tensor in _tensors(model.graph):
        if uses_external_data(tensor) and math.prod(tensor.dims) > 8 * size:
            raise ModelError(f"{path_text(path)} gives {shorten(tensor.name)} the shape {shorten(list(tensor.dims))}, "
                             f"and the files of its weights have {size:,} bytes; {FETCH_AGAIN}")


def fingerprint(path: Path, external: list[Path]) -> str:
    """Return the SHA-256 of an ONNX file; with external weights, that of the list of the checksums of all files."""
    checksums = [sha256(file) for file in (path, *external)]
    return hashlib.sha256("\n".join(checksums).encode()).hexdigest() if external else checksums[0]


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """Yield the tensors of a graph: initializers and attributes of nodes, those of subgraphs included."""
    graphs = [graph]
    while graphs:  # no recursion: a file decides how deep its subgraphs are
        current = graphs.pop()
        yield from current.initializer
        for sparse in current.sparse_initializer:
            yield from (sparse.values, sparse.indices)
        for node in current.node:
            for attribute in node.attribute:
                yield from attribute.tensors
                if attribute.HasField("t"):
                    yield attribute.t
                graphs += attribute.graphs
                if attribute.HasField("g"):
                    graphs.append(attribute.g)
