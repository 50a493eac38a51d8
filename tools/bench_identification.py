"""Identification among distractors: facekd beside faiss's flat index and a plain blocked product, on the same features.

    python tools/bench_identification.py --probes 3530 --distractors 1000000 --dim 512 --json OUT.json

Two sets: ``gaussian``, whose directions are all alike, and ``structured``, made after what was measured of a trained
model (tools/features-iresnet18.json, by tools/measure_features.py); 80 people as in MegaFace. facekd answers every rank
of every mate, the CMC, TAR at FAR down to 1e-6 and bootstrap intervals; the peers answer a top-100 search, nothing
more. The distractors lie in a memory-mapped file; faiss needs its own copy of them in memory, whose making is not
timed. The ways take turns, ``--repeat`` times; the least time of each counts. Memory is what the process holds beside
mapped files, at its peak.

Ranks are compared below 100: those of faiss's neighbours, their scores made exact, against facekd's.
"""

import argparse
import json
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import torch
from numpy.typing import NDArray

from facekd.data.featureset import ArrayFeatures, Features
from facekd.evaluation.identification import IdentificationResult, identify
from facekd.evaluation.mates import exact_scores
from facekd.files import write_json
from facekd.runs import hardware

TOP = 100
CHUNK = 8192
PEOPLE = 80
MEASURED = Path(__file__).with_name("features-iresnet18.json")
Draw = Callable[[int], NDArray[np.float64]]


def gaussian(dimension: int, generator: np.random.Generator) -> tuple[Draw, float]:
    """Directions all alike, and how alike two images of one person are, so that rank-1 is between 70 and 95 %."""
    return lambda rows: generator.standard_normal((rows, dimension)), 0.25


def structured(dimension: int, generator: np.random.Generator) -> tuple[Draw, NDArray[np.float64]]:
    """Directions with the measured spectrum, and the measured quantiles of mates' scores."""
    measured = json.loads(MEASURED.read_text())
    deviation = np.sqrt(np.maximum(measured["spectrum"], 0))[:dimension]
    axes = np.linalg.qr(generator.standard_normal((dimension, len(deviation))))[0].T
    mean = measured["mean"] * axes[0]
    return (lambda rows: mean + (generator.standard_normal((rows, len(deviation))) * deviation) @ axes,
            np.array(measured["mates"]))


def unit(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows of unit length."""
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def make(draw: Draw, alike: float | NDArray[np.float64], probes: int, distractors: int, dimension: int, file: Path,
         generator: np.random.Generator) -> tuple[Features, NDArray[np.int64], Features]:
    """Probes, their labels, and the distractors, which lie in a file."""
    labels = np.sort(np.arange(probes) % PEOPLE)
    # Two images with shares a and b of their person, and the rest at a right angle to it, score about ab: the shares
    # are roots of the wanted scores.
    wanted = alike if isinstance(alike, float) else generator.choice(alike, probes)
    share = np.sqrt(np.clip(np.broadcast_to(wanted, probes), 0, 1))[:, None]
    person, rest = unit(draw(PEOPLE))[labels], draw(probes)
    rest = unit(rest - (rest * person).sum(axis=1, keepdims=True) * person)
    ours = share * person + np.sqrt(1 - share**2) * rest
    gallery = np.lib.format.open_memmap(file, "w+", np.float32, (distractors, dimension))
    for start in range(0, distractors, CHUNK):
        gallery[start : start + CHUNK] = unit(draw(min(CHUNK, distractors - start)))
    gallery.flush()
    return unit(ours).astype(np.float32), labels, np.load(file, mmap_mode="r")


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
    draw, alike = {"gaussian": gaussian, "structured": structured}[name](a.dim, generator)
    probes, labels, gallery = make(draw, alike, a.probes, a.distractors, a.dim, folder / f"{name}.npy", generator)
    index = faiss.IndexFlatIP(a.dim)
    for start in range(0, len(gallery), CHUNK):
        index.add(np.array(gallery[start : start + CHUNK]))
    seconds: dict[str, list[float]] = {"facekd": [], "faiss": [], "plain": []}
    peak = 0.0
    result, found = None, np.empty(0, np.int64)
    for _ in range(a.repeat):
        with Peak() as memory:
            begun = time.perf_counter()
            result = identify(ArrayFeatures(probes, "probes", labels), ArrayFeatures(gallery, "gallery"))
            seconds["facekd"].append(time.perf_counter() - begun)
        peak = max(peak, memory.most)
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
        "seconds": {way: [round(value, 2) for value in times] for way, times in seconds.items()},
        "peak_gib": round(peak, 3), "different_ranks": differing(result, probes, gallery, found),
        "pairs": result.pairs, "rank1": round(result.rank1, 4), "tar": result.tar,
        "deep_mates": int((result.ahead > 0.003 * a.distractors).sum()),
    }


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--probes", type=int, default=3530)
    parser.add_argument("--distractors", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--repeat", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sets", nargs="+", default=["gaussian", "structured"])
    parser.add_argument("--folder", help="where the distractors are written (default: a temporary one)")
    parser.add_argument("--json", help="write the figures to this file")
    a = parser.parse_args()
    faiss.omp_set_num_threads(torch.get_num_threads())
    report: dict[str, Any] = {"hardware": hardware()["label"], "threads": torch.get_num_threads(),
                              "faiss": faiss.__version__, "torch": torch.__version__, "probes": a.probes,
                              "distractors": a.distractors, "dim": a.dim, "top": TOP}
    with tempfile.TemporaryDirectory(dir=a.folder) as folder:
        for name in a.sets:
            report[name] = bench(name, a, Path(folder))
            print(json.dumps({name: report[name]}, indent=2))
            (Path(folder) / f"{name}.npy").unlink()
            if a.json:
                write_json(Path(a.json), report)


if __name__ == "__main__":
    main()
