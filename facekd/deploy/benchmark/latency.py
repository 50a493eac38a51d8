"""Latency of one face: calls of one model, or of several models in interleaved rounds."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facekd.errors import ExportError
from facekd.models.embedder import Embedder
from facekd.models.onnx_embedder import OnnxEmbedder
from facekd.utils.threads import one_torch_thread

PAUSE = 0.03
"""Seconds to wait before each measurement if runtimes have several threads: threads without work spin for up to 20 ms
(``openmp_blocktime`` of ncnn) and would occupy the cores that the next model needs."""


@dataclass(frozen=True)
class Latency:
    """Milliseconds for one image at batch 1, scaling of the pixels included.

    Attributes:
        median_ms: the median.
        quartiles_ms: first and third quartile.
        p95_ms: the 95th percentile.
        repeats: number of timed runs.
    """

    median_ms: float
    quartiles_ms: tuple[float, float]
    p95_ms: float
    repeats: int

    @staticmethod
    def from_times(times: NDArray[np.float64]) -> Latency:
        """Summarize the milliseconds of all runs, float64 [repeats]."""
        first, median, third, p95 = (float(v) for v in np.percentile(times, [25, 50, 75, 95]))
        return Latency(median, (first, third), p95, len(times))


def measure_latency(model: Embedder | Path, repeats: int = 100, warmup: int = 10) -> Latency:
    """Time a model on one seeded random crop.

    Args:
        model: an embedder, or an ONNX file, which is opened with one thread.
        repeats: number of timed runs.
        warmup: number of untimed runs before them.

    Raises:
        ExportError: the model is an ONNX embedder with more than one thread.
        ModelError: the file cannot be opened.
    """
    embedder = OnnxEmbedder(model, threads=1, as_written=True) if isinstance(model, Path) else model
    if isinstance(embedder, OnnxEmbedder) and embedder.threads != 1:
        raise ExportError(
            f"latency is measured on one thread, {embedder.path} was opened with another number; use threads=1"
        )
    with one_torch_thread():
        (times,) = time_interleaved([embedder], repeats, warmup)
    return Latency.from_times(times)


def time_interleaved(
    embedders: Sequence[Embedder], repeats: int, warmup: int, *, pause: float = 0, seed: int = 0,
    advance: Callable[[int, str], None] = lambda count, note: None,
) -> NDArray[np.float64]:
    """Time several models in rounds: each round runs every model once, in a new random order.

    Other load on the machine thus affects all models alike. Each measurement calls the model twice on one seeded
    random crop and times the second call, so that the weights of this model, not of the one before, are in the cache,
    as they are for the next frame of a camera.

    Args:
        embedders: the models.
        repeats: number of timed rounds.
        warmup: number of untimed rounds before them.
        pause: seconds to wait before each measurement, see `PAUSE`.
        seed: seed of the crops and of the order.
        advance: callback after each round, see `facekd.utils.progress.progress_bar`.

    Returns:
        Milliseconds, float64 [models, repeats].
    """
    generator = np.random.default_rng(seed)
    crops = [generator.integers(0, 256, (1, model.size, model.size, 3), dtype=np.uint8) for model in embedders]
    times = np.empty((len(embedders), warmup + repeats))
    for round_index in range(warmup + repeats):
        for model_index in generator.permutation(len(embedders)):
            time.sleep(pause)
            embedders[model_index].forward(crops[model_index])
            start = time.perf_counter()
            embedders[model_index].forward(crops[model_index])
            times[model_index, round_index] = time.perf_counter() - start
        advance(1, "")
    return times[:, warmup:] * 1000
