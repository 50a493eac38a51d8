"""Time identification among distractors: facekd, a flat index of faiss and a plain blocked product, on one set.

    python tools/bench_identification.py --probes 3530 --distractors 1000000 --dim 512 --json OUT.json > OUT.txt

It needs faiss: pip install facekd[bench].

There are two sets, ``gaussian`` and ``structured``, see tools/feature_sets.py. facekd computes every rank of every
mate, the CMC, TAR at FAR down to 1e-6 and bootstrap intervals; the peers compute a top-100 search only. The distractors
are in a memory-mapped file; faiss needs a copy of them in memory, and the time of the copy is not counted. The variants
take turns, ``--repeat`` times; the least time of each counts. Memory is the peak of the process without mapped files.

Ranks below 100 are compared: those of the neighbors that faiss finds, with exact scores, and those of facekd.
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
from feature_sets import SETS, make_features
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from facekd.data.feature_set import ArrayFeatures, Features
from facekd.evaluation.identification.identify import identify
from facekd.evaluation.identification.mates import exact_scores
from facekd.evaluation.identification.rank_counter import RankCounter
from facekd.evaluation.identification.result import IdentificationResult
from facekd.io.files import write_json
from facekd.utils.environment import hardware

try:
    import faiss
except ImportError:
    sys.exit("bench_identification.py compares with faiss: pip install 'facekd[bench]'")

TOP = 100
CHUNK = 8192
TILE = 2048
"""Number of distractors in a tile, as in `facekd.evaluation.identification.streaming` on a CPU."""


def plain(probes: Features, distractors: Features) -> None:
    """Compute the top 100 of every probe: products of all probes with blocks of distractors, merged."""
    probe_rows = torch.from_numpy(probes)
    best = torch.full((len(probes), TOP), -2.0)
    index = torch.zeros((len(probes), TOP), dtype=torch.int64)
    for start in range(0, len(distractors), CHUNK):
        scores, rows = (probe_rows @ torch.from_numpy(np.array(distractors[start : start + CHUNK])).T).topk(TOP)
        best, columns = torch.cat([best, scores], 1).topk(TOP)
        index = torch.cat([index, rows + start], 1).gather(1, columns)


class PeakMemory:
    """Context manager that measures the peak memory of the process.

    Attributes:
        peak_gib: the peak without mapped files, in GiB above the memory at the beginning.
    """

    def __enter__(self) -> "PeakMemory":
        """Start to sample the memory, a hundred times a second."""
        self._initial_gib = _anonymous_gib()
        self.peak_gib = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop sampling."""
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._stop.wait(0.01):
            self.peak_gib = max(self.peak_gib, _anonymous_gib() - self._initial_gib)


def _anonymous_gib() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 2**20


def count_different_ranks(result: IdentificationResult, probes: Features, distractors: Features,
                          neighbors: NDArray[np.int64]) -> int:
    """Return the number of mates whose rank, up to 100, differs from that among the neighbors with exact scores.

    Args:
        result: the result of facekd.
        probes: float32 [probes, dimension].
        distractors: float32 [distractors, dimension].
        neighbors: int64 [probes, 100], the nearest distractors of each probe by a peer.
    """
    mates = result.mates
    different = 0
    for probe in range(len(probes)):
        pairs = slice(*np.searchsorted(mates.probe, [probe, probe + 1]).tolist())
        scores = exact_scores(probes, np.full(TOP, probe), np.asarray(distractors[neighbors[probe]]), np.arange(TOP))
        ahead = (scores[None] >= mates.score[pairs, None]).sum(axis=1)
        different += int((np.minimum(ahead, TOP) != np.minimum(result.distractors_ahead[pairs], TOP)).sum())
    return different


def bench(name: str, args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Time all variants on one set, and return the figures."""
    generator = np.random.default_rng(args.seed)
    file = folder / f"{name}.npy"
    probes, labels, gallery = make_features(name, args.probes, args.distractors, args.dim, file, generator)
    index = faiss.IndexFlatIP(args.dim)
    for start in range(0, len(gallery), CHUNK):
        index.add(np.array(gallery[start : start + CHUNK]))
    seconds: dict[str, list[float]] = {"facekd": [], "without bound": [], "faiss": [], "plain": []}
    peak_gib = 0.0
    result = None
    neighbors = np.empty(0, np.int64)
    for _ in range(args.repeat):
        with PeakMemory() as memory:
            start_time = time.perf_counter()
            result = identify(ArrayFeatures(probes, "probes", labels), ArrayFeatures(gallery, "gallery"))
            seconds["facekd"].append(time.perf_counter() - start_time)
        peak_gib = max(peak_gib, memory.peak_gib)
        with mock.patch.object(RankCounter, "use_score_bound", lambda counter, sample: None):
            start_time = time.perf_counter()
            identify(ArrayFeatures(probes, "probes", labels), ArrayFeatures(gallery, "gallery"))
            seconds["without bound"].append(time.perf_counter() - start_time)
        start_time = time.perf_counter()
        _, neighbors = index.search(probes, TOP)
        seconds["faiss"].append(time.perf_counter() - start_time)
        start_time = time.perf_counter()
        plain(probes, gallery)
        seconds["plain"].append(time.perf_counter() - start_time)
    assert result is not None
    least = {variant: min(times) for variant, times in seconds.items()}
    return {
        "ratio_to_faiss": round(least["facekd"] / least["faiss"], 3),
        "ratio_to_plain": round(least["facekd"] / least["plain"], 3),
        "ratio_without_bound": round(least["facekd"] / least["without bound"], 3),
        "seconds": {variant: [round(value, 2) for value in times] for variant, times in seconds.items()},
        "peak_gib": round(peak_gib, 3), "different_ranks": count_different_ranks(result, probes, gallery, neighbors),
        "pairs": result.pairs, "rank1": round(result.rank1, 4), "tar": result.tar,
    }


def products(dimension: int, probes: int) -> dict[str, float]:
    """Return the GFLOP/s of the float32 product alone, by library and shape, with all threads; the best of three."""
    generator = np.random.default_rng(0)
    threads = torch.get_num_threads()
    width = 32768
    left = generator.standard_normal((probes, dimension), np.float32)
    right = generator.standard_normal((width, dimension), np.float32)
    left_tensor = torch.from_numpy(left)
    right_tensor = torch.from_numpy(right)
    scores = np.empty((probes, TILE), np.float32)

    def tile(start: int) -> None:
        for row in range(0, probes, 1200):
            np.matmul(left[row : row + 1200], right[start : start + TILE].T)

    def in_tiles() -> None:
        with threadpool_limits(1, "blas"), ThreadPoolExecutor(threads) as pool:
            list(pool.map(tile, range(0, width, TILE)))

    def by_numpy() -> None:
        for start in range(0, width, TILE):
            np.matmul(left, right[start : start + TILE].T, out=scores)

    def by_torch() -> None:
        for start in range(0, width, TILE):
            torch.mm(left_tensor, right_tensor[start : start + TILE].T, out=torch.from_numpy(scores))

    variants = {"numpy, tiles of 1,200 x 2,048, a thread each": in_tiles, "torch, all probes x 2,048": by_torch,
                "numpy, all probes x 2,048": by_numpy}
    return {name: round(2e-9 * probes * width * dimension / min(timeit.repeat(multiply, number=1, repeat=3)), 1)
            for name, multiply in variants.items()}


def describe(report: dict[str, Any], sets: list[str]) -> str:
    """Return the figures as text."""
    work = 2e-9 * report["probes"] * report["distractors"] * report["dim"]
    lines = [f"{report['probes']:,} probes, {report['distractors']:,} distractors, {report['dim']} numbers a row, "
             f"{report['hardware']}, torch {report['torch']}, faiss {report['faiss']}", ""]
    for name in sets:
        figures = report[name]
        times = "  ".join(f"{variant} {min(values):.1f} s" for variant, values in figures["seconds"].items())
        lines += [f"{name:<11} {times}; facekd / faiss {figures['ratio_to_faiss']:.2f}",
                  f"{'':<11} rank-1 {figures['rank1']:.1%}, {figures['different_ranks']} of {figures['pairs']:,} ranks "
                  f"differ, memory without mapped files {figures['peak_gib']:.2f} GiB",
                  f"{'':<11} faiss multiplies and searches at {work / min(figures['seconds']['faiss']):.0f} GFLOP/s"]
    rates = [f"  {name:<45}{rate:6.0f}" for name, rate in report["products"].items()]
    lines += ["", "the product alone, GFLOP/s:", *rates]
    return "\n".join(lines)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--probes", type=int, default=3530)
    parser.add_argument("--distractors", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--repeat", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=list(SETS))
    parser.add_argument("--folder", help="where the distractors are written (default: a temporary one)")
    parser.add_argument("--json", help="write the figures to this file")
    args = parser.parse_args()
    faiss.omp_set_num_threads(torch.get_num_threads())
    report: dict[str, Any] = {"hardware": hardware()["label"], "threads": torch.get_num_threads(),
                              "faiss": faiss.__version__, "torch": torch.__version__, "probes": args.probes,
                              "distractors": args.distractors, "dim": args.dim, "top": TOP}
    report["products"] = products(args.dim, args.probes)
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        for name in args.sets:
            report[name] = bench(name, args, Path(folder))
            (Path(folder) / f"{name}.npy").unlink()
            if args.json:
                write_json(Path(args.json), report)
    print(describe(report, args.sets))


if __name__ == "__main__":
    main()
