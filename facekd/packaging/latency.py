"""How long one face takes on one thread."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from facekd.errors import ExportError
from facekd.models.embedder import Embedder
from facekd.models.onnx_embedder import OnnxEmbedder


@dataclass(frozen=True)
class Latency:
    """Milliseconds one image takes, scaling of the pixels included: one thread, batch 1.

    Attributes:
        median_ms: the median.
        quartiles_ms: first and third quartile, the spread.
        p95_ms: the 95th percentile.
        repeats: timed runs.
    """

    median_ms: float
    quartiles_ms: tuple[float, float]
    p95_ms: float
    repeats: int


def latency(model: Embedder | Path, repeats: int = 100, warmup: int = 10) -> Latency:
    """Time a model on one seeded random crop.

    Args:
        model: an ONNX file, which is opened with one thread, or an embedder.
        repeats: timed runs.
        warmup: untimed runs before them.

    Raises:
        ExportError: an ONNX embedder that was opened with more than one thread.
        ModelError: a file that cannot be opened.
    """
    embedder = OnnxEmbedder(model, threads=1) if isinstance(model, Path) else model
    if isinstance(embedder, OnnxEmbedder) and embedder.threads != 1:
        raise ExportError(f"latency wants one thread, {embedder.path} was opened with another count; use threads=1")
    crop = np.random.default_rng(0).integers(0, 256, (1, embedder.size, embedder.size, 3), dtype=np.uint8)
    times = np.empty(repeats)
    with _one_torch_thread():
        for _ in range(warmup):
            embedder.forward(crop)
        for index in range(repeats):
            begun = time.perf_counter()
            embedder.forward(crop)
            times[index] = time.perf_counter() - begun
    first, median, third, late = (float(v) for v in np.percentile(times * 1000, [25, 50, 75, 95]))
    return Latency(median, (first, third), late, repeats)


@contextmanager
def _one_torch_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
