"""Synthetic features for tools/bench_identification.py: probes of 80 identities, as in MegaFace, and distractors.

``gaussian``: all directions are equally likely, without any structure. ``structured``: the spectrum and the scores of
mates are those of a trained model (results/benchmarks/features-iresnet18.json, by tools/measure_features.py) with
dimension 128; features with a higher dimension are in a random subspace. In both sets 24 of 3,530 probes have a wrong
identity, as in MegaFace: such an image is a mate of forty others, and ranks below many distractors.
"""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facekd.data.feature_set import Features

CHUNK = 8192
IDENTITIES = 80
MISLABELED_SHARE = 24 / 3530
MEASURED = Path(__file__).resolve().parents[1] / "results" / "benchmarks" / "features-iresnet18.json"
Draw = Callable[[int], NDArray[np.float64]]
"""A function that draws a number of rows: float64 [rows, dimension]."""


def gaussian(dimension: int, generator: np.random.Generator) -> tuple[Draw, float]:
    """Return uniform directions, and the score of two images of one identity, for a rank-1 rate of 70 to 95 %."""
    return lambda rows: generator.standard_normal((rows, dimension)), 0.25


def structured(dimension: int, generator: np.random.Generator) -> tuple[Draw, NDArray[np.float64]]:
    """Return directions with the measured spectrum, and the measured quantiles of the scores of mates."""
    measured = json.loads(MEASURED.read_text())
    deviation = np.sqrt(np.maximum(measured["spectrum"], 0))[:dimension]
    axes = np.linalg.qr(generator.standard_normal((dimension, len(deviation))))[0].T
    mean = measured["mean"] * axes[0]
    return (lambda rows: mean + (generator.standard_normal((rows, len(deviation))) * deviation) @ axes,
            np.array(measured["mates"]))


def l2_normalize(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rows with unit length."""
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


SETS = {"gaussian": gaussian, "structured": structured}


def make_features(name: str, probes: int, distractors: int, dimension: int, file: Path,
                  generator: np.random.Generator) -> tuple[Features, NDArray[np.int64], Features]:
    """Return probes, their labels, and distractors, which are memory-mapped from a file."""
    draw, mate_scores = SETS[name](dimension, generator)
    labels = np.sort(np.arange(probes) % IDENTITIES)
    # Two images with components a and b along the center of their identity, and orthogonal residuals, score about ab:
    # the components are the square roots of the target scores.
    scores = mate_scores if isinstance(mate_scores, float) else generator.choice(mate_scores, probes)
    component = np.sqrt(np.clip(np.broadcast_to(scores, probes), 0, 1))[:, None]
    centers = l2_normalize(draw(IDENTITIES))[labels]
    residuals = draw(probes)
    residuals = l2_normalize(residuals - (residuals * centers).sum(axis=1, keepdims=True) * centers)
    probe_rows = component * centers + np.sqrt(1 - component**2) * residuals
    mislabeled = generator.choice(probes, round(MISLABELED_SHARE * probes), replace=False)
    probe_rows[mislabeled] = draw(len(mislabeled))
    gallery = np.lib.format.open_memmap(file, "w+", np.float32, (distractors, dimension))
    for start in range(0, distractors, CHUNK):
        gallery[start : start + CHUNK] = l2_normalize(draw(min(CHUNK, distractors - start)))
    gallery.flush()
    return l2_normalize(probe_rows).astype(np.float32), labels, np.load(file, mmap_mode="r")
