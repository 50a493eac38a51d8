"""Identification among distractors: facekd beside faiss's flat index and a plain blocked product, on the same features.

    python tools/bench_identification.py --probes 3530 --distractors 1000000 --dim 512 --json OUT.json > OUT.txt

It wants faiss: pip install facekd[bench].

Two sets: ``gaussian`` and ``structured``, see tools/feature_sets.py. facekd answers every rank of every mate, the CMC,
TAR at FAR down to 1e-6 and bootstrap intervals; the peers answer a top-100 search, nothing more. The distractors lie
in a memory-mapped file; faiss needs its own copy of them in memory, whose making is not timed. The ways take turns,
``--repeat`` times; the least time of each counts. Memory is what the process holds beside mapped files, at its peak.

Ranks are compared below 100: those of faiss's neighbours, their scores made exact, against facekd's.
"""

import argparse
import sys
import tempfile
import threading
import time
import timeit
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from feature_sets import SETS, make
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from facekd.data.feature_set import ArrayFeatures, Features
from facekd.evaluation.identification.identify import identify
from facekd.evaluation.identification.mates import exact_scores
from facekd.evaluation.identification.rank_counter import Counter
from facekd.evaluation.identification.result import IdentificationResult
from facekd.run import hardware
from facekd.utils.files import write_json

try:
    import faiss
except ImportError:
    sys.exit("bench_identification.py compares with faiss: pip install 'facekd[bench]'")

TOP = 100
CHUNK = 8192
TILE = 2048
"""Distractors in a tile, as `facekd.evaluation.identification.score_tiles` has them on a CPU."""


def plain(probes: Features, distractors: Features) -> None:
    """Top-100 by a product of all probes with a block, and a merge."""
    ours, best = torch.from_numpy(probes), torch.full((len(probes), TOP), -2.0)
    index = torch.zeros((len(probes), TOP), dtype=torch.int64)
    for start in range(0, len(distractors), CHUNK):
        scores, found = (ours @ torch.from_numpy(np.array(distractors[start : start + CHUNK])).T).topk(TOP)
        best, place = torch.cat([best, scores], 1).topk(TOP)
        index = torch.cat([index, found + start], 1).gather(1, place)


class Peak:
    """The most memory beside mapped files that the process held, in GiB above what it held before."""

    def __enter__(self) -> "Peak":
        """Begin to look, a hundred times a second."""
        self._before, self.most, self._end = _anonymous(), 0.0, threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Look no more."""
        self._end.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._end.wait(0.01):
            self.most = max(self.most, _anonymous() - self._before)


def _anonymous() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 2**20


def differing(result: IdentificationResult, probes: Features, distractors: Features, found: NDArray[np.int64]) -> int:
    """Mates whose rank among a peer's neighbours, with exact scores, is not facekd's; it counts up to 100."""
    mates, wrong = result.mates, 0
    for probe in range(len(probes)):
        own = slice(*np.searchsorted(mates.probe, [probe, probe + 1]).tolist())
        scores = exact_scores(probes, np.full(TOP, probe), np.asarray(distractors[found[probe]]), np.arange(TOP))
        ahead = (scores[None] >= mates.score[own, None]).sum(axis=1)
        wrong += int((np.minimum(ahead, TOP) != np.minimum(result.ahead[own], TOP)).sum())
    return wrong


def bench(name: str, a: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Time one set."""
    generator = np.random.default_rng(a.seed)
    probes, labels, gallery = make(name, a.probes, a.distractors, a.dim, folder / f"{name}.npy", generator)
    index = faiss.IndexFlatIP(a.dim)
    for start in range(0, len(gallery), CHUNK):
        index.add(np.array(gallery[start : start + CHUNK]))
    seconds: dict[str, list[float]] = {"facekd": [], "without bound": [], "faiss": [], "plain": []}
    peak = 0.0
    result, found = None, np.empty(0, np.int64)
    for _ in range(a.repeat):
        with Peak() as memory:
            begun = time.perf_counter()
            result = identify(ArrayFeatures(probes, "probes", labels), ArrayFeatures(gallery, "gallery"))
            seconds["facekd"].append(time.perf_counter() - begun)
        peak = max(peak, memory.most)
        with mock.patch.object(Counter, "bound", lambda counter, sample: None):
            begun = time.perf_counter()
            identify(ArrayFeatures(probes, "probes", labels), ArrayFeatures(gallery, "gallery"))
            seconds["without bound"].append(time.perf_counter() - begun)
        begun = time.perf_counter()
        _, found = index.search(probes, TOP)
        seconds["faiss"].append(time.perf_counter() - begun)
        begun = time.perf_counter()
        plain(probes, gallery)
        seconds["plain"].append(time.perf_counter() - begun)
    assert result is not None
    least = {way: min(times) for way, times in seconds.items()}
    return {
        "ratio_to_faiss": round(least["facekd"] / least["faiss"], 3),
        "ratio_to_plain": round(least["facekd"] / least["plain"], 3),
        "ratio_without_bound": round(least["facekd"] / least["without bound"], 3),
        "seconds": {way: [round(value, 2) for value in times] for way, times in seconds.items()},
        "peak_gib": round(peak, 3), "different_ranks": differing(result, probes, gallery, found),
        "pairs": result.pairs, "rank1": round(result.rank1, 4), "tar": result.tar,
    }


def products(dimension: int, probes: int) -> dict[str, float]:
    """GFLOP/s of the float32 product alone, by library and shape, all threads; the best of three."""
    generator, threads, width = np.random.default_rng(0), torch.get_num_threads(), 32768
    ours, others = (generator.standard_normal((rows, dimension), np.float32) for rows in (probes, width))
    first, second = torch.from_numpy(ours), torch.from_numpy(others)
    scores = np.empty((probes, TILE), np.float32)

    def tile(start: int) -> None:
        for row in range(0, probes, 1200):
            np.matmul(ours[row : row + 1200], others[start : start + TILE].T)

    def in_tiles() -> None:
        with threadpool_limits(1, "blas"), ThreadPoolExecutor(threads) as pool:
            list(pool.map(tile, range(0, width, TILE)))

    def by_numpy() -> None:
        for start in range(0, width, TILE):
            np.matmul(ours, others[start : start + TILE].T, out=scores)

    def by_torch() -> None:
        for start in range(0, width, TILE):
            torch.mm(first, second[start : start + TILE].T, out=torch.from_numpy(scores))

    ways = {"numpy, tiles of 1,200 x 2,048, a thread each": in_tiles, "torch, all probes x 2,048": by_torch,
            "numpy, all probes x 2,048": by_numpy}
    return {name: round(2e-9 * probes * width * dimension / min(timeit.repeat(way, number=1, repeat=3)), 1)
            for name, way in ways.items()}


def describe(report: dict[str, Any], sets: list[str]) -> str:
    """The figures as lines to read."""
    work = 2e-9 * report["probes"] * report["distractors"] * report["dim"]
    lines = [f"{report['probes']:,} probes, {report['distractors']:,} distractors, {report['dim']} numbers a row, "
             f"{report['hardware']}, torch {report['torch']}, faiss {report['faiss']}", ""]
    for name in sets:
        found = report[name]
        times = "  ".join(f"{way} {min(values):.1f} s" for way, values in found["seconds"].items())
        lines += [f"{name:<11} {times}; facekd / faiss {found['ratio_to_faiss']:.2f}",
                  f"{'':<11} rank-1 {found['rank1']:.1%}, {found['different_ranks']} of {found['pairs']:,} ranks "
                  f"differ, memory beside mapped files {found['peak_gib']:.2f} GiB",
                  f"{'':<11} faiss multiplies and searches at {work / min(found['seconds']['faiss']):.0f} GFLOP/s"]
    rates = [f"  {name:<45}{rate:6.0f}" for name, rate in report["products"].items()]
    lines += ["", "the product alone, GFLOP/s:", *rates]
    return "\n".join(lines)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--probes", type=int, default=3530)
    parser.add_argument("--distractors", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--repeat", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=list(SETS))
    parser.add_argument("--folder", help="where the distractors are written (default: a temporary one)")
    parser.add_argument("--json", help="write the figures to this file")
    a = parser.parse_args()
    faiss.omp_set_num_threads(torch.get_num_threads())
    report: dict[str, Any] = {"hardware": hardware()["label"], "threads": torch.get_num_threads(),
                              "faiss": faiss.__version__, "torch": torch.__version__, "probes": a.probes,
                              "distractors": a.distractors, "dim": a.dim, "top": TOP}
    report["products"] = products(a.dim, a.probes)
    with tempfile.TemporaryDirectory(dir=a.folder) as folder:
        for name in a.sets:
            report[name] = bench(name, a, Path(folder))
            (Path(folder) / f"{name}.npy").unlink()
            if a.json:
                write_json(Path(a.json), report)
    print(describe(report, a.sets))


if __name__ == "__main__":
    main()
