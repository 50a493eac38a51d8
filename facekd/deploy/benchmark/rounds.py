"""Benchmark of the files of a package and of reference models in the same rounds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facekd.deploy.benchmark.latency import PAUSE, Latency, time_interleaved
from facekd.deploy.onnx.cost import count_onnx_cost
from facekd.deploy.package import Package
from facekd.deploy.targets import get_target
from facekd.evaluation.statistics.bootstrap import bootstrap
from facekd.models.embedder import Embedder
from facekd.models.input_format import InputOptions
from facekd.models.onnx_embedder import OnnxEmbedder
from facekd.utils.console import notify
from facekd.utils.progress import progress_bar


@dataclass(frozen=True)
class Candidate:
    """A model that can be opened and timed.

    Attributes:
        title: the name in tables.
        model: the package that contains the file, or the file itself.
        open: opens the model on a number of threads; picklable.
        runtime: the module that runs it.
        bytes: size of all its files.
        parameters: number of parameters of the network; for an ONNX file of others, of its stored weights.
        macs: multiply-adds for one image; None if they cannot be counted.
        versions: returns the versions of the packages that run it, by their names on PyPI.
    """

    title: str
    model: str
    open: Callable[[int], Embedder]
    runtime: str
    bytes: int
    parameters: int
    macs: int | None
    versions: Callable[[], dict[str, str]]


@dataclass(frozen=True)
class RelativeLatency:
    """The latency of a candidate for one number of threads, compared with the reference.

    Attributes:
        threads: number of threads.
        latency: milliseconds for one image.
        ratio: its median divided by the median of the reference on as many threads.
        interval: 95 % interval of the ratio: percentile bootstrap over rounds, in which both were timed.
    """

    threads: int
    latency: Latency
    ratio: float
    interval: tuple[float, float]

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able record; images per second follow from the median."""
        return {"threads": self.threads, **vars(self.latency), "images_per_second": 1000 / self.latency.median_ms,
                "ratio": self.ratio, "ratio_interval": list(self.interval)}


def package_candidates(package: Package, prefix: str = "") -> list[Candidate]:
    """Return the files of a package as candidates, in its order, with a prefix before their titles."""
    metadata = package.metadata
    candidates = []
    for title, entry in metadata["files"].items():
        target = get_target(entry["target"])
        candidates.append(Candidate(
            f"{prefix}{title}", str(package.path), partial(package.open, title), target.runtime, entry["bytes"],
            metadata["parameters"], metadata["macs"], target.versions,
        ))
    return candidates


def onnx_candidate(path: Path, options: InputOptions | None = None) -> Candidate:
    """Return any ONNX file of a face model as a candidate.

    Args:
        path: the file.
        options: how it is fed.

    Raises:
        ModelError: the file does not exist, or is not a face model.
    """
    options = options or {}
    for note in OnnxEmbedder(path, as_written=True, **options).notes:  # also refuses files that are not face models
        notify(note)
    target = get_target("onnx")
    cost = count_onnx_cost(path)
    return Candidate(path.name, path.name, partial(_open_onnx, path, options), target.runtime, cost.bytes,
                     cost.parameters, cost.macs, target.versions)


def _open_onnx(path: Path, options: InputOptions, threads: int) -> Embedder:
    return OnnxEmbedder(path, threads=threads, as_written=True, **options)


def benchmark_rounds(
    candidates: Sequence[Candidate], reference: str, threads: Sequence[int], repeats: int = 100, warmup: int = 10,
    seed: int = 0,
) -> dict[str, list[RelativeLatency]]:
    """Time candidates against each other, all in every round, once for each number of threads.

    Args:
        candidates: the models.
        reference: the title of the candidate that ratios refer to.
        threads: numbers of threads; with more than one thread there is a pause before each measurement (`PAUSE`).
        repeats: number of timed rounds.
        warmup: number of untimed rounds before them.
        seed: seed of pixels, order and bootstrap.

    Returns:
        Latencies by title, in the order of ``threads``.
    """
    latencies: dict[str, list[RelativeLatency]] = {model.title: [] for model in candidates}
    with progress_bar("bench", len(threads) * (warmup + repeats), "rounds") as advance:
        for count in threads:
            embedders = [model.open(count) for model in candidates]
            pause = PAUSE if count > 1 else 0
            times = time_interleaved(embedders, repeats, warmup, pause=pause, seed=seed, advance=advance)
            reference_times = times[list(latencies).index(reference)]
            for title, candidate_times in zip(latencies, times, strict=True):
                latency = Latency.from_times(candidate_times)
                ratio = latency.median_ms / float(np.median(reference_times))
                interval = _ratio_interval(candidate_times, reference_times, seed)
                latencies[title].append(RelativeLatency(count, latency, ratio, interval))
    return latencies


def _ratio_interval(
    times: NDArray[np.float64], reference_times: NDArray[np.float64], seed: int
) -> tuple[float, float]:
    """Bootstrap the ratio of medians over rounds; both arrays are float64 [rounds]."""

    def ratios(weights: NDArray[np.int32]) -> NDArray[np.float64]:
        return np.array([[np.median(np.repeat(times, row)) / np.median(np.repeat(reference_times, row))]
                         for row in weights])

    low, high = bootstrap(ratios, np.zeros(len(times), np.int64), seed=seed)[0].tolist()
    return low, high
