"""How long one face takes: calls of one model, or of several in turns, and what is told of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from facekd.errors import ExportError
from facekd.models.embedder import Embedder
from facekd.models.onnx_embedder import OnnxEmbedder

PAUSE = 0.03
"""Seconds before a turn where runtimes have several threads: those that wait for work spin for up to 20 ms (ncnn's
``openmp_blocktime``) and would take the cores from the next model."""


@dataclass(frozen=True)
class Latency:
    """Milliseconds one image takes, scaling of the pixels included, batch 1.

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

    @staticmethod
    def of(times: NDArray[np.float64]) -> Latency:
        """From the milliseconds of each run, float64 [repeats]."""
        first, median, third, late = (float(v) for v in np.percentile(times, [25, 50, 75, 95]))
        return Latency(median, (first, third), late, len(times))


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
    with _one_torch_thread():
        (times,) = in_turns([embedder], repeats, warmup)
    return Latency.of(times)


def in_turns(embedders: Sequence[Embedder], repeats: int, warmup: int, pause: float = 0, seed: int = 0,
             advance: Callable[[int, str], None] = lambda count, note: None) -> NDArray[np.float64]:
    """Time models in rounds: in each round every model has its turn, in an order drawn anew.

    Whatever else the machine does then falls on all of them alike. A turn is two calls on one seeded random crop, the
    second of which is timed: it finds the model's weights in the cache, as a camera's next frame does, and not those of
    the model before.

    Args:
        embedders: the models.
        repeats: timed rounds.
        warmup: untimed rounds before them.
        pause: seconds before each turn, see `PAUSE`.
        seed: of the crops and the order.
        advance: told after each round, see `facekd.utils.progress.progress`.

    Returns:
        Milliseconds, float64 [models, repeats].
    """
    generator = np.random.default_rng(seed)
    crops = [generator.integers(0, 256, (1, model.size, model.size, 3), dtype=np.uint8) for model in embedders]
    times = np.empty((len(embedders), warmup + repeats))
    for number in range(warmup + repeats):
        for place in generator.permutation(len(embedders)):
            time.sleep(pause)
            embedders[place].forward(crops[place])
            begun = time.perf_counter()
            embedders[place].forward(crops[place])
            times[place, number] = time.perf_counter() - begun
        advance(1, "")
    return times[:, warmup:] * 1000


@contextmanager
def _one_torch_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
