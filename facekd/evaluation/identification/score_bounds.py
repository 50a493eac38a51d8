"""Upper bounds of scores from a few numbers per row, so that most pairs need no full product.

Rotated to the principal axes of the distractors, a score p.d is the sum of a product over the first r axes and one over
the rest. The latter is at most the product of the lengths of the two remainders (Cauchy-Schwarz). With this length as
one more number per row, a small matrix product gives the bounds of all pairs of a tile. The score is computed only
where the bound reaches the score floor of the probe.

A wrong image among the probes is a mate of forty others and ranks behind a large share of all distractors; no bound
helps there. So only probes without deep mates use bounds, and none do if the directions of the features have no
structure. Measured (results/benchmarks/bench_identification-cpu2.txt, 3,530 probes among a million distractors):
features with the spectrum of a trained model take 0.64 times as long with bounds as without; isotropic ones 1.06 times.
"""

from __future__ import annotations

import numpy as np

from facekd.data.feature_set import Features
from facekd.evaluation.identification.mates import float32_error_bound
from facekd.evaluation.types import Float32Array, FloatArray, IntArray

AXES = (32, 64, 96, 128, 192, 256)
"""Candidate numbers of axes."""
MULTIPLY_NS = 0.023
"""Nanoseconds per number in a matrix product (measured on Zen 3)."""
RESCORE_NS = 1.2
"""Nanoseconds per number where single scores are computed (measured on Zen 3)."""
MIN_SPEEDUP = 1.3
"""Expected speedup from which bounds are used."""
SAMPLED_PROBES = 256
"""Probes used to estimate the speedup."""


class ScoreBound:
    """Upper bounds of the scores of some probes.

    Args:
        probes: float32 [probes, dimension], rows of unit length.
        axes: float32 [dimension, r], orthonormal columns.

    Attributes:
        probes: float32 [probes, r + 1], the projected probes.
        margin: to be added to a product of projected rows to make it an upper bound.
    """

    def __init__(self, probes: Features, axes: Float32Array) -> None:
        self._axes = axes
        dimension, num_axes = axes.shape
        self._projection_error = float32_error_bound(dimension) * np.sqrt(num_axes)
        self.probes = self._append_remainder(probes.astype(np.float64) @ axes)
        # The errors of the projection and of the float32 product, and a reserve for axes that are orthonormal only to
        # float32 precision.
        self.margin = self._projection_error + float32_error_bound(num_axes + 1) + 1e-6

    def project(self, distractors: Features) -> Float32Array:
        """Project distractors: float32 [distractors, r + 1]; the product with ``probes`` plus ``margin`` is a bound."""
        return self._append_remainder(distractors @ self._axes)

    def _append_remainder(self, projected: FloatArray | Float32Array) -> Float32Array:
        """Append the largest possible length of the remainder, whatever was rounded."""
        # Unit rows have length 1 to 1e-5, so a squared length of 1 to 2e-5; the rest of the constant is a reserve.
        squared = np.maximum(1 - np.einsum("ij,ij->i", projected, projected), 0) + 2 * self._projection_error + 3e-5
        return np.column_stack([projected, np.sqrt(squared)]).astype(np.float32)


def choose_score_bound(probes: Features, score_floors: Float32Array, sample: Features) -> ScoreBound | None:
    """Choose the number of axes with the largest speedup, estimated on a sample of the distractors.

    Args:
        probes: float32 [probes, dimension], without deep mates.
        score_floors: float32 [probes]; lower scores are not needed.
        sample: float32 [distractors, dimension].

    Returns:
        The bound; None if none saves enough time, or if the sample is too small for the estimate.
    """
    dimension = probes.shape[1]
    half = len(sample) // 2
    if not len(probes) or half < dimension:
        return None
    # One half of the sample gives the axes, the other one the estimate: on the first half it would be too good.
    known = sample[:half].astype(np.float64)
    unknown = sample[half:]
    axes = np.linalg.eigh(known.T @ known)[1][:, ::-1].astype(np.float32)
    sampled: IntArray = np.linspace(0, len(probes) - 1, min(SAMPLED_PROBES, len(probes))).astype(np.int64)
    best_count = None
    best_speedup = MIN_SPEEDUP
    for count in AXES:
        if count < dimension:
            bound = ScoreBound(probes[sampled], axes[:, :count])
            bounds = bound.probes @ bound.project(unknown).T
            share_reached = (bounds >= score_floors[sampled, None] - bound.margin).mean()
            cost = MULTIPLY_NS * (count + 1) + RESCORE_NS * dimension * share_reached
            speedup = MULTIPLY_NS * dimension / cost
            if speedup > best_speedup:
                best_count = count
                best_speedup = speedup
    return ScoreBound(probes, axes[:, :best_count]) if best_count else None
