"""Any InsightFace-compatible ONNX file as an `Embedder`, run by ONNX Runtime."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx.external_data_helper import ExternalDataInfo, uses_external_data
from onnxruntime.capi import onnxruntime_pybind11_state as state

from facekd.errors import ModelError
from facekd.models.embedder import Embedder, preprocess_crops
from facekd.utils.files import sha256

ONNX_RUNTIME_ERRORS = (
    state.Fail, state.InvalidArgument, state.InvalidGraph, state.InvalidProtobuf, state.NoSuchFile,
    state.NotImplemented, state.RuntimeException,
)
"""The errors of ONNX Runtime for a graph it cannot load or run; they have no common base class."""


class OnnxEmbedder(Embedder):
    """A face model in one ONNX file: one float input [batch, 3, size, size], one output.

    The pixels are scaled by InsightFace's rule, see `takes_raw_pixels`. A graph with a fixed batch size runs at that
    size. A graph whose batch is declared dynamic, but that fails or gives other embeddings for two images at once, runs
    at batch size 1. No library of custom operators is ever loaded, so that a file cannot bring code of its own.

    Args:
        path: the ``.onnx`` file; ONNX Runtime finds external weights in the same folder.
        name: the name in tables; by default the file's stem.
        size: side of the crops, needed only if the graph leaves it open.
        threads: number of threads inside one operator; by default ONNX Runtime's choice.
        batch_size: number of images in one run of a dynamic graph.
        providers: ONNX Runtime's execution providers; the first one that works is used.

    Raises:
        ModelError: the file does not exist, is damaged, is not an ONNX file, or is not a face model of this shape.
    """

    def __init__(
        self, path: Path | str, name: str | None = None, size: int | None = None, threads: int | None = None,
        batch_size: int = 64, providers: Sequence[str] = ("CPUExecutionProvider",),
    ) -> None:
        self.path = Path(path)
        self.name = name or self.path.stem
        self.threads = threads
        graph = read_graph(self.path)
        self.raw_pixels = takes_raw_pixels(graph)
        self.fingerprint = _fingerprint(self.path, graph)
        self.session = _session(self.path, threads, providers)
        self.size, fixed_batch = _check_shape(self.path, self.session, size)
        self.has_fixed_batch = fixed_batch is not None
        self.dimension = self._run(self._noise(fixed_batch or 1)).shape[1]
        self.batch_size = fixed_batch or (batch_size if self._supports_batches() else 1)

    def forward(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Compute embeddings, float32 [batch, dimension], not normalized; see `Embedder.forward`."""
        features = np.empty((len(crops), self.dimension), np.float32)
        for start in range(0, len(crops), self.batch_size):
            pixels = self.preprocess(crops[start : start + self.batch_size])
            if self.has_fixed_batch and len(pixels) < self.batch_size:
                padding = np.zeros((self.batch_size - len(pixels), *pixels.shape[1:]), np.float32)
                pixels = np.concatenate([pixels, padding])
            features[start : start + self.batch_size] = self._run(pixels)[: len(crops) - start]
        return features

    def preprocess(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Convert uint8 [batch, size, size, 3] RGB to the float32 [batch, 3, size, size] input of the graph."""
        return preprocess_crops(crops, self.raw_pixels)

    def _run(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        try:
            output = self.session.run(None, {self.session.get_inputs()[0].name: pixels})[0]
        except ONNX_RUNTIME_ERRORS as error:
            shape = list(pixels.shape)
            raise ModelError(f"{self.path} fails on an input of shape {shape}: {error}; export it again") from error
        return np.asarray(output, np.float32).reshape(len(pixels), -1)

    def _noise(self, count: int) -> NDArray[np.float32]:
        shape = (count, self.size, self.size, 3)
        return self.preprocess(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))

    def _supports_batches(self) -> bool:
        """Return whether the graph gives two images at once the embeddings that it gives each of them alone."""
        pair = self._noise(2)
        try:
            together = self._run(pair)
        except (ModelError, ValueError):  # ValueError: the outputs do not divide into two embeddings
            return False
        alone = np.concatenate([self._run(pair[:1]), self._run(pair[1:])])
        if together.shape != alone.shape:
            return False
        largest = np.abs(alone).max()
        return not np.isfinite(largest) or bool(np.allclose(together, alone, rtol=1e-2, atol=1e-3 * largest))


def read_graph(path: Path) -> onnx.GraphProto:
    """Read the graph of an ONNX file, without weights in external files.

    Raises:
        ModelError: the file does not exist, is truncated, or is not an ONNX file.
    """
    try:
        graph = onnx.load(str(path), load_external_data=False, format="protobuf").graph
    except FileNotFoundError:
        raise ModelError(f"{path} does not exist; check the path") from None
    except (DecodeError, OSError) as error:
        raise ModelError(f"{path} is not an ONNX file, or is truncated ({error}); fetch or export it again") from error
    if not graph.node:
        raise ModelError(f"{path} is not an ONNX file: it holds no graph; fetch or export it again")
    return graph


def takes_raw_pixels(graph: onnx.GraphProto) -> bool:
    """Return whether a recognizer's graph takes pixels that are not scaled, by InsightFace's rule.

    Returns:
        True if among the first eight nodes one has a *name* that begins with ``Sub`` or ``_minus`` and one with
        ``Mul`` or ``_mul``: the graph scales pixels itself and takes 0 to 255. False: it takes
        ``(x - 127.5) / 127.5``.
    """
    names = [node.name for node in graph.node[:8]]
    return any(n.startswith(("Sub", "_minus")) for n in names) and any(n.startswith(("Mul", "_mul")) for n in names)


def _fingerprint(path: Path, graph: onnx.GraphProto) -> str:
    """Return the SHA-256 of the file; with external weights, that of the list of the checksums of all files."""
    external = sorted({ExternalDataInfo(t).location for t in graph.initializer if uses_external_data(t)})
    if not external:
        return sha256(path)
    missing = [name for name in external if not (path.parent / name).is_file()]
    if missing:
        raise ModelError(f"{path} keeps its weights in {', '.join(missing)}, which is not in its folder; copy it there")
    checksums = [sha256(path), *(sha256(path.parent / name) for name in external)]
    return hashlib.sha256("\n".join(checksums).encode()).hexdigest()


def _session(path: Path, threads: int | None, providers: Sequence[str]) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    if threads is not None:
        options.intra_op_num_threads = threads
    try:
        return ort.InferenceSession(str(path), options, providers=list(providers))
    except ONNX_RUNTIME_ERRORS as error:
        raise ModelError(f"{path} cannot be loaded by ONNX Runtime: {error}; fetch or export it again") from error


def _check_shape(path: Path, session: ort.InferenceSession, size: int | None) -> tuple[int, int | None]:
    """Check input and output; return the side of the crops and the batch size, None if it is dynamic."""
    inputs = session.get_inputs()
    outputs = session.get_outputs()
    if len(inputs) != 1 or len(outputs) != 1:
        raise ModelError(
            f"{path} has {len(inputs)} inputs and {len(outputs)} outputs, a face model has one of each; "
            "is it a detector or another kind of model?"
        )
    shape: list[Any] = inputs[0].shape
    if inputs[0].type != "tensor(float)":
        raise ModelError(f"{path} takes {inputs[0].type}, tensor(float) is needed; export it with a float32 input")
    if len(shape) != 4 or (isinstance(shape[1], int) and shape[1] != 3):
        raise ModelError(f"{path} takes an input of shape {shape}, [batch, 3, size, size] is needed; export it so")
    if isinstance(shape[2], int) and isinstance(shape[3], int) and shape[2] != shape[3]:
        raise ModelError(f"{path} takes {shape[3]}x{shape[2]} images, aligned crops are square; use another model")
    graph_size = next((side for side in shape[2:] if isinstance(side, int)), None)
    if graph_size is None and size is None:
        raise ModelError(f"{path} leaves the image size open ({shape}); give it as size=, 112 for most face models")
    if graph_size is not None and size is not None and graph_size != size:
        raise ModelError(f"{path} takes {graph_size}x{graph_size} images, not {size}x{size}; leave the size out")
    fixed_batch = shape[0] if isinstance(shape[0], int) else None
    return int(graph_size or size or 0), fixed_batch
