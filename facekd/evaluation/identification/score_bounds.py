"""Upper bounds of scores from a few numbers a row: most pairs need no full product to be known as low.

Rotated to the principal axes of the distractors, p.d is a product over the first r axes and one over the rest, and the
rest is at most the product of the two remainders' lengths (Cauchy and Schwarz). With the length as one number more, the
bounds of all pairs of a tile are a single small matrix product. Only where one reaches its probe's level is the score
computed.

A wrong image among the probes is a mate to forty others, behind a good part of all distractors: no bound helps there.
So only probes without deep mates are bounded, and none where the features' directions are too much alike.
"""

from __future__ import annotations

import numpy as np

from facekd.data.feature_set import Features
from facekd.evaluation.identification.mates import Ints, rounding
from facekd.evaluation.identification.score_tiles import Singles

AXES = (32, 64, 96, 128, 192, 256)
MULTIPLIED, COMPUTED = 0.023, 1.2
"""Nanoseconds a number: in a matrix product, and where single scores are computed (measured on Zen 3)."""
WORTH = 1.3
"""A bound is used where it should make the comparison so many times faster."""
SEEN = 256
"""Probes the choice is judged by."""


class Bound:
    """Bounds the scores of some probes.

    Args:
        probes: float32 [probes, dimension], rows of unit length.
        axes: float32 [dimension, r], orthonormal columns.
    """

    def __init__(self, probes: Features, axes: Singles) -> None:
        self._axes = axes
        dimension, count = axes.shape
        self._error = rounding(dimension) * np.sqrt(count)
        self.probes = self._with_remainder(probes.astype(np.float64) @ axes)
        self.slack = self._error + rounding(count + 1) + 1e-6

    def short(self, distractors: Features) -> Singles:
        """A block of distractors, float32 [distractors, r + 1]: its product with ``probes``, plus ``slack``, bounds."""
        return self._with_remainder(distractors @ self._axes)

    def _with_remainder(self, projected: np.ndarray[tuple[int, ...], np.dtype[np.floating]]) -> Singles:
        """The numbers along the axes, and the most that the length of the rest can be, whatever was rounded."""
        rest = np.maximum(1 - np.einsum("ij,ij->i", projected, projected), 0) + 2 * self._error + 3e-5
        return np.column_stack([projected, np.sqrt(rest)]).astype(np.float32)


def choose_bound(probes: Features, levels: Singles, sample: Features) -> Bound | None:
    """The bound that should save most, judged by a sample of the distractors; None where none saves enough.

    Args:
        probes: float32 [probes, dimension], without deep mates.
        levels: float32 [probes], what scores are compared with.
        sample: float32 [distractors, dimension].
    """
    dimension, half = probes.shape[1], len(sample) // 2
    if not len(probes) or half < dimension:
        return None
    known, unknown = sample[:half].astype(np.float64), sample[half:]
    axes = np.linalg.eigh(known.T @ known)[1][:, ::-1].astype(np.float32)
    seen: Ints = np.linspace(0, len(probes) - 1, min(SEEN, len(probes))).astype(np.int64)
    best, saved = None, WORTH
    for count in AXES:
        if count < dimension:
            bound = Bound(probes[seen], axes[:, :count])
            reached = (bound.probes @ bound.short(unknown).T >= levels[seen, None] - bound.slack).mean()
            cost = MULTIPLIED * (count + 1) + COMPUTED * dimension * reached
            if MULTIPLIED * dimension / cost > saved:
                best, saved = count, MULTIPLIED * dimension / cost
    return Bound(probes, axes[:, :best]) if best else None
