"""Pairs ranked by score: accuracy, ROC and thresholds, for the pairs themselves and for bootstrap resamples of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from facekd.evaluation.statistics.bootstrap import Weights
from facekd.evaluation.types import BoolArray, FloatArray, Int32Array, IntArray


class RankedPairs:
    """Pairs sorted by falling score.

    Methods that take weights count each pair that often: int32 [batch, pairs], columns in the order of ``scores``.

    Args:
        scores: float64 [pairs].
        same: bool [pairs].
        fold: int64 [pairs].

    Attributes:
        scores: float64 [pairs], sorted.
        same: bool [pairs], in the order of ``scores``.
        fold: int64 [pairs], in the order of ``scores``.
        cuts: int64 [cuts], the numbers of pairs that a threshold can accept; equal scores are accepted together.
    """

    def __init__(self, scores: FloatArray, same: BoolArray, fold: IntArray) -> None:
        order = np.argsort(-scores, kind="stable")
        self.scores = scores[order]
        self.same = same[order]
        self.fold = fold[order]
        self.cuts = _cuts(self.scores)
        self._sign = np.where(self.same, 1, -1).astype(np.int32)
        self._folds = self._held_out_and_training_pairs()

    def _held_out_and_training_pairs(self) -> list[tuple[IntArray, IntArray]]:
        """Return the pairs of each fold and those that its threshold is chosen on: all others, if there are any."""
        names = np.unique(self.fold)
        held_out = [np.flatnonzero(self.fold == name) for name in names]
        if len(names) == 1:
            return [(held_out[0], held_out[0])]
        training = [np.flatnonzero(self.fold != name) for name in names]
        return list(zip(held_out, training, strict=True))

    def fold_accuracies(self, weights: Weights) -> FloatArray:
        """Compute the accuracy on each fold at the best threshold of the other folds, float64 [batch, folds]."""
        signed = weights * self._sign
        rows = np.arange(len(weights))
        accuracies = []
        for held_out, training in self._folds:
            limits = _best_thresholds(self.scores[training], signed[:, training])
            accepted = np.searchsorted(-self.scores[held_out], -limits, side="left")
            # Accepting the first j pairs is right for (genuine among them - impostors among them) + all impostors.
            impostors = weights[:, held_out[~self.same[held_out]]].sum(axis=1)
            right = _cumulative_counts(signed[:, held_out])[rows, accepted] + impostors
            accuracies.append(right / weights[:, held_out].sum(axis=1))
        return np.stack(accuracies, axis=1)

    def best_threshold(self) -> float:
        """Return the threshold with the highest accuracy over all pairs."""
        return float(_best_thresholds(self.scores, self._sign[None])[0])

    def tar(self, weights: Weights, limits: Sequence[int]) -> FloatArray:
        """Compute the TAR where at most ``limits`` impostor pairs are accepted, float64 [batch, limits]."""
        genuine = _cumulative_counts(weights * self.same)[:, self.cuts]
        impostor = _cumulative_counts(weights * ~self.same)[:, self.cuts]
        rates = np.empty((len(weights), len(limits)))
        for column, limit in enumerate(limits):
            last = (impostor <= limit).sum(axis=1) - 1
            rates[:, column] = genuine[np.arange(len(weights)), last] / genuine[:, -1]
        return rates

    def auc(self, weights: Weights) -> FloatArray:
        """Compute the area under the ROC curve, float64 [batch]."""
        genuine = _cumulative_counts(weights * self.same)[:, self.cuts].astype(np.float64)
        impostor = _cumulative_counts(weights * ~self.same)[:, self.cuts]
        area = (np.diff(impostor, axis=1) * (genuine[:, 1:] + genuine[:, :-1]) / 2).sum(axis=1)
        return np.asarray(area / genuine[:, -1] / impostor[:, -1])

    def eer(self, weights: Weights) -> FloatArray:
        """Compute the equal error rate, float64 [batch], where the ROC curve joined by lines meets FAR = FRR."""
        genuine = _cumulative_counts(weights * self.same)[:, self.cuts]
        impostor = _cumulative_counts(weights * ~self.same)[:, self.cuts]
        tpr = genuine / genuine[:, -1:]
        fpr = impostor / impostor[:, -1:]
        return np.array([np.interp(0.0, f + t - 1, f) for f, t in zip(fpr, tpr, strict=True)])

    def threshold(self, limit: int) -> float:
        """Return the lowest threshold that accepts at most ``limit`` impostor pairs."""
        impostor = _cumulative_counts(~self.same[None])[0, self.cuts]
        accepted = int(self.cuts[(impostor <= limit).sum() - 1])
        padded = _with_outer_scores(self.scores)
        above = padded[accepted]
        below = padded[accepted + 1]
        middle = (above + below) / 2
        return float(middle if middle < above else below)

    def curve(self) -> tuple[FloatArray, FloatArray, float, float]:
        """Compute the ROC curve.

        Returns:
            False and true accept rates, float64 [cuts], rising; the area under the curve; the equal error rate.
        """
        tpr = _cumulative_counts(self.same[None])[0, self.cuts] / self.same.sum()
        fpr = _cumulative_counts(~self.same[None])[0, self.cuts] / (~self.same).sum()
        area = float((np.diff(fpr) * (tpr[1:] + tpr[:-1]) / 2).sum())
        # FAR = FRR means fpr = 1 - tpr; fpr + tpr - 1 rises along the curve, so interpolation finds its zero.
        equal_error_rate = float(np.interp(0.0, fpr + tpr - 1, fpr))
        return fpr, tpr, area, equal_error_rate


def _cuts(falling: FloatArray) -> IntArray:
    return np.flatnonzero(np.concatenate([[True], falling[1:] < falling[:-1], [True]]))


def _with_outer_scores(falling: FloatArray) -> FloatArray:
    """Add the next float above the highest score and the next float below the lowest one."""
    return np.concatenate([[np.nextafter(falling[0], np.inf)], falling, [np.nextafter(falling[-1], -np.inf)]])


def _best_thresholds(falling: FloatArray, signed: Int32Array) -> FloatArray:
    """Find the most accurate threshold of each row, midway between the two scores that occur next to it.

    Args:
        falling: float64 [pairs], scores in falling order.
        signed: int32 [batch, pairs], how often a pair counts, negative for impostors.

    Returns:
        float64 [batch].
    """
    cuts = _cuts(falling)
    best = cuts[_cumulative_counts(signed)[:, cuts].argmax(axis=1)]
    rows = np.arange(len(signed))
    following = best.copy()
    present = np.concatenate([signed != 0, np.ones((len(signed), 1), np.bool_)], axis=1)
    # A resample can lack the pair after the cut. It rarely lacks many neighbors in a row, so the loop is short.
    while not present[rows, following].all():
        following += ~present[rows, following]
    padded = _with_outer_scores(falling)
    above = padded[best]
    below = padded[following + 1]
    middle = (above + below) / 2
    # The midpoint of two adjacent floats rounds to one of them; the lower one still accepts the pair above.
    thresholds: FloatArray = np.where(middle < above, middle, below)
    return thresholds


def _cumulative_counts(counts: NDArray[np.generic]) -> Int32Array:
    """Return the sums over the first 0, 1, ... pairs, int32 [batch, pairs + 1]."""
    total = np.zeros((counts.shape[0], counts.shape[1] + 1), np.int32)
    np.cumsum(counts, axis=1, dtype=np.int32, out=total[:, 1:])
    return total
