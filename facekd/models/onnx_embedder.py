"""Any ONNX file of a face model as an `Embedder`, run by ONNX Runtime."""

from __future__ import annotations

import copy
import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as state
from typing_extensions import Unpack

from facekd.errors import FacekdError, ModelError
from facekd.io.onnx_file import FETCH_AGAIN, external_weights, fingerprint, read_model
from facekd.io.onnx_session import open_session, runs_on_cpu
from facekd.io.reading import reading
from facekd.models.embedder import Embedder
from facekd.models.input_format import InputOptions
from facekd.models.onnx_input import RANGES
from facekd.models.onnx_interface import GraphInterface, read_interface
from facekd.models.onnx_prelu import open_split_form
from facekd.text import path_text, shorten

ONNX_RUNTIME_ERRORS = (
    state.Fail, state.InvalidArgument, state.InvalidGraph, state.InvalidProtobuf, state.NoSuchFile,
    state.NotImplemented, state.RuntimeException,
)
"""The errors of ONNX Runtime for a graph it cannot load or run; they have no common base class."""

CPU_BATCH = 8
"""Images in one run on a CPU: with more of them, the values between layers leave its caches (1/5 of the time)."""
DEVICE_BATCH = 64
"""Images in one run on a card."""
TOLERANCE = 1e-4
"""The largest difference between the outputs of a file and of its faster form, as a share of the outputs' length."""


class OnnxEmbedder(Embedder):
    """A face model in one ONNX file: one input of images, and an output with one embedding per image.

    How the input is fed follows from the options, else from the graph, see `facekd.models.onnx_interface`. A graph with
    a fixed batch size runs at that size. A graph whose batch is declared dynamic, but that fails or gives other
    embeddings for two images at once, runs at batch size 1.

    On a CPU, PReLUs are computed in a faster form (`facekd.models.onnx_prelu`) if noise and the first crops have equal
    outputs, see `TOLERANCE`; otherwise the graph runs as the file has it.

    Args:
        path: the ``.onnx`` file; weights in external files must be in the same folder.
        name: the name in tables; by default the file's stem.
        threads: number of threads inside one operator; by default ONNX Runtime's choice.
        batch_size: number of images in one run of a dynamic graph, by default `CPU_BATCH` or `DEVICE_BATCH`.
        device: the device, see `facekd.io.onnx_session.choose_providers`.
        as_written: whether to run the operators of the file and no faster form, as a phone does; for measurements.
        options: what the user states about the file.

    Attributes:
        input_format: how crops are fed.
        notes: sentences about the input that a user should read.

    Raises:
        ModelError: the file does not exist, is damaged, is not an ONNX file, or is not a face model of this shape.
        SetupError: the device cannot be used.
    """

    def __init__(
        self, path: Path | str, name: str | None = None, threads: int | None = None, batch_size: int | None = None,
        device: str = "cpu", *, as_written: bool = False, **options: Unpack[InputOptions],
    ) -> None:
        self.path = Path(path)
        self.name = name or self.path.stem
        self.threads = threads
        model = read_model(self.path)
        external = external_weights(self.path, model)
        with reading(self.path, ModelError, kind="a face model in ONNX", remedy=FETCH_AGAIN):
            self.session = open_session(self.path, device, threads)
            self.interface = read_interface(self.path, model, self.session, options)
        self.size = self.interface.size
        self.input_format = self.interface.input_format
        self.notes = self.interface.notes
        self.fingerprint = _fingerprint(fingerprint(self.path, external), self.interface)
        self.has_fixed_batch = self.interface.batch_size is not None
        self.batch_size = self.interface.batch_size or 1
        self.dimension = self._run(self._noise(self.batch_size)).shape[1]
        if not self.has_fixed_batch and self._supports_batches():
            self.batch_size = batch_size or (CPU_BATCH if runs_on_cpu(self.session) else DEVICE_BATCH)
        self._fast: ort.InferenceSession | None = None
        if not as_written and not external:
            self._fast = self._open_fast(model)

    def forward(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Compute embeddings, float32 [batch, dimension], not normalized; see `Embedder.forward`."""
        features = np.empty((len(crops), self.dimension), np.float32)
        for start in range(0, len(crops), self.batch_size):
            pixels = self.preprocess(crops[start : start + self.batch_size])
            if self.has_fixed_batch and len(pixels) < self.batch_size:
                padding = np.zeros((self.batch_size - len(pixels), *pixels.shape[1:]), pixels.dtype)
                pixels = np.concatenate([pixels, padding])
            if self._fast is not None:
                first = pixels if self.has_fixed_batch else pixels[:2]
                self.session = self._fast if self._is_equal(self._fast, first) else self.session
                self._fast = None
            features[start : start + self.batch_size] = self._run(pixels)[: len(crops) - start]
        return features

    def preprocess(self, crops: NDArray[np.uint8]) -> NDArray[Any]:
        """Convert uint8 [batch, size, size, 3] RGB to the input of the graph."""
        return self.input_format.preprocess(crops)

    def input_facts(self) -> dict[str, Any]:
        """See `Embedder.input_facts`."""
        return {**self.input_format.to_dict(), "source": self.interface.source, "output": self.interface.output}

    def fed_otherwise(self) -> dict[str, Embedder]:
        """See `Embedder.fed_otherwise`; the other scalings that a graph can tell are tried."""
        others: dict[str, Embedder] = {}
        for pixels in RANGES if self.input_format.dtype != "uint8" else ():
            if pixels != self.input_format.pixels:
                other = copy.copy(self)
                other.input_format = replace(self.input_format, pixels=pixels)
                others[pixels] = other
        return others

    def _open_fast(self, model: onnx.ModelProto) -> ort.InferenceSession | None:
        """Return a session of the faster form, if there is one and it gives equal outputs for noise."""
        fast = open_split_form(model, self.threads) if runs_on_cpu(self.session) else None
        count = self.batch_size if self.has_fixed_batch else 1
        return fast if fast is not None and self._is_equal(fast, self._noise(count)) else None

    def _is_equal(self, fast: ort.InferenceSession, pixels: NDArray[Any]) -> bool:
        """Return whether another session gives the outputs of the file within `TOLERANCE`."""
        expected = self._run(pixels)
        try:
            difference = np.linalg.norm(self._run(pixels, fast) - expected)
        except (FacekdError, ValueError):  # it fails, or gives another shape
            return False
        return bool(difference <= TOLERANCE * np.linalg.norm(expected))

    def _run(self, pixels: NDArray[Any], session: ort.InferenceSession | None = None) -> NDArray[np.float32]:
        try:
            output = (session or self.session).run([self.interface.output], {self.interface.input: pixels})[0]
            rows = np.asarray(output, np.float32).reshape(len(pixels), -1)
        except Exception as error:  # of ONNX Runtime without a common base; TypeError, ValueError: no array of rows
            raise ModelError(f"{path_text(self.path)} fails on an input of shape {list(pixels.shape)}: "
                             f"{shorten(error)}; {FETCH_AGAIN}") from error
        if self.interface.has_many_outputs and np.shape(output)[:1] != (len(pixels),):
            raise ModelError(f"{path_text(self.path)} gives {np.shape(output)[0]} rows for {len(pixels)} images in its "
                             f"output {shorten(self.interface.output)}: is it a detector? A face model gives one "
                             "embedding per image; name another output by --output, or give another file")
        return rows

    def _noise(self, count: int) -> NDArray[Any]:
        shape = (count, self.size, self.size, 3)
        return self.preprocess(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))

    def _supports_batches(self) -> bool:
        """Return whether the graph gives two images at once the embeddings that it gives each of them alone."""
        pair = self._noise(2)
        try:
            together = self._run(pair)
        except FacekdError:  # it fails, or its outputs do not divide into two embeddings
            return False
        alone = np.concatenate([self._run(pair[:1]), self._run(pair[1:])])
        if together.shape != alone.shape:
            return False
        largest = np.abs(alone).max()
        return not np.isfinite(largest) or bool(np.allclose(together, alone, rtol=1e-2, atol=1e-3 * largest))


def _fingerprint(checksum: str, interface: GraphInterface) -> str:
    """Return the checksum of the file; if it is fed in another way than it tells, that of both facts."""
    if not interface.differs_from_file:
        return checksum
    facts = [checksum, *interface.input_format.to_dict().values(), str(interface.size), interface.output]
    return hashlib.sha256("\n".join(facts).encode(errors="surrogatepass")).hexdigest()
