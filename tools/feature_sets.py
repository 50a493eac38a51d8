"""Made-up features for tools/bench_identification.py: 80 people to be found, as in MegaFace, among distractors.

``gaussian``: directions are all alike, so that no structure can be made use of. ``structured``: after what was measured
of a trained model (results/benchmarks/features-iresnet18.json, by tools/measure_features.py), its spectrum and the
scores of mates;
a model of 128 numbers, turned into a random subspace where more are asked for. In both 24 of 3,530 probes show somebody
else, as MegaFace's do: such an image is a mate of forty others, behind a good part of all distractors.
"""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facekd.data.feature_set import Features

CHUNK = 8192
PEOPLE = 80
WRONG = 24 / 3530
MEASURED = Path(__file__).resolve().parents[1] / "results" / "benchmarks" / "features-iresnet18.json"
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


SETS = {"gaussian": gaussian, "structured": structured}


def make(name: str, probes: int, distractors: int, dimension: int, file: Path,
         generator: np.random.Generator) -> tuple[Features, NDArray[np.int64], Features]:
    """Probes, their labels, and the distractors, which lie in a file."""
    draw, alike = SETS[name](dimension, generator)
    labels = np.sort(np.arange(probes) % PEOPLE)
    # Two images with shares a and b of their person, and the rest at a right angle to it, score about ab: the shares
    # are roots of the wanted scores.
    wanted = alike if isinstance(alike, float) else generator.choice(alike, probes)
    share = np.sqrt(np.clip(np.broadcast_to(wanted, probes), 0, 1))[:, None]
    person, rest = unit(draw(PEOPLE))[labels], draw(probes)
    rest = unit(rest - (rest * person).sum(axis=1, keepdims=True) * person)
    ours = share * person + np.sqrt(1 - share**2) * rest
    wrong = generator.choice(probes, round(WRONG * probes), replace=False)
    ours[wrong] = draw(len(wrong))
    gallery = np.lib.format.open_memmap(file, "w+", np.float32, (distractors, dimension))
    for start in range(0, distractors, CHUNK):
        gallery[start : start + CHUNK] = unit(draw(min(CHUNK, distractors - start)))
    gallery.flush()
    return unit(ours).astype(np.float32), labels, np.load(file, mmap_mode="r")
