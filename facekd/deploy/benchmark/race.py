"""Files of a package, and what they are compared with, timed in the same rounds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facekd.deploy.benchmark.latency import PAUSE, Latency, in_turns
from facekd.deploy.onnx.cost import onnx_cost
from facekd.deploy.package import Package
from facekd.deploy.targets import target_of
from facekd.evaluation.statistics.bootstrap import bootstrap
from facekd.models.embedder import Embedder
from facekd.models.onnx_embedder import OnnxEmbedder
from facekd.utils.progress import progress


@dataclass(frozen=True)
class Contender:
    """A model that can be opened and timed.

    Attributes:
        title: what tables call it.
        model: whose file it is: a package, or the file itself.
        open: gives it ready to run on a number of threads; picklable.
        runtime: the module that runs it.
        bytes: of all its files.
        parameters: of the network, for a foreign file numbers stored as weights.
        macs: multiply-adds for one image; None where they cannot be counted.
        versions: of what runs it, by the names pip has for them.
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
class Timed:
    """A contender on one number of threads, beside the reference.

    Attributes:
        threads: it ran on.
        latency: milliseconds one image takes.
        ratio: its median over the reference's on as many threads.
        interval: the ratio's, 95 %: percentile bootstrap over rounds, in which both were timed.
    """

    threads: int
    latency: Latency
    ratio: float
    interval: tuple[float, float]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; images per second are what the median makes."""
        return {"threads": self.threads, **vars(self.latency), "images_per_second": 1000 / self.latency.median_ms,
                "ratio": self.ratio, "ratio_interval": list(self.interval)}


def contenders(package: Package, prefix: str = "") -> list[Contender]:
    """The files of a package, in its order; ``prefix`` stands before their titles."""
    about = package.metadata
    made = []
    for title, entry in about["files"].items():
        target = target_of(entry["target"])
        made.append(Contender(f"{prefix}{title}", str(package.path), partial(package.open, title), target.runtime,
                              entry["bytes"], about["parameters"], about["macs"], target.versions))
    return made


def foreign(path: Path) -> Contender:
    """An ONNX file of anybody.

    Raises:
        ModelError: no such file, or none of a face model.
    """
    OnnxEmbedder(path)  # says what is wrong with a file that is no face model
    target, cost = target_of("onnx"), onnx_cost(path)
    return Contender(path.name, path.name, partial(_open, path), target.runtime, cost.bytes, cost.parameters, cost.macs,
                     target.versions)


def _open(path: Path, threads: int) -> Embedder:
    return OnnxEmbedder(path, threads=threads)


def race(field: Sequence[Contender], reference: str, threads: Sequence[int], repeats: int = 100, warmup: int = 10,
         seed: int = 0) -> dict[str, list[Timed]]:
    """Time models against each other, all in every round, once for each number of threads.

    Args:
        field: the models.
        reference: the title of the one that ratios are to.
        threads: numbers of threads; where there is more than one, there is a pause before each turn (`PAUSE`).
        repeats: timed rounds.
        warmup: untimed rounds before them.
        seed: of pixels, order and bootstrap.

    Returns:
        By title, in the order of ``threads``.
    """
    timed: dict[str, list[Timed]] = {model.title: [] for model in field}
    with progress("bench", len(threads) * (warmup + repeats), "rounds") as advance:
        for count in threads:
            opened = [model.open(count) for model in field]
            times = in_turns(opened, repeats, warmup, PAUSE if count > 1 else 0, seed, advance)
            base = times[list(timed).index(reference)]
            for title, own in zip(timed, times, strict=True):
                found = Latency.of(own)
                ratio = found.median_ms / float(np.median(base))
                timed[title].append(Timed(count, found, ratio, _interval(own, base, seed)))
    return timed


def _interval(own: NDArray[np.float64], base: NDArray[np.float64], seed: int) -> tuple[float, float]:
    """Of the ratio of medians, by drawing rounds; float64 [rounds] each."""

    def ratios(weights: NDArray[np.int32]) -> NDArray[np.float64]:
        return np.array([[np.median(np.repeat(own, row)) / np.median(np.repeat(base, row))] for row in weights])

    low, high = bootstrap(ratios, np.zeros(len(own), np.int64), seed=seed)[0].tolist()
    return low, high
