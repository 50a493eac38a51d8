"""Pairs in order of their score: all thresholds at once, each pair counted once or as often as a resample holds it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from facekd.evaluation.statistics.bootstrap import Weights

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class RankedPairs:
    """Pairs by falling score.

    ``cuts`` are the numbers of pairs that a threshold can accept: equal scores are accepted together. Weights say
    how often each pair counts: int32 [batch, pairs], columns in the order of ``scores``.

    Args:
        scores: float64 [pairs].
        same: bool [pairs].
        fold: int64 [pairs].
    """

    def __init__(self, scores: Floats, same: NDArray[np.bool_], fold: Ints) -> None:
        order = np.argsort(-scores, kind="stable")
        self.scores, self.same, self.fold = scores[order], same[order], fold[order]
        self.cuts = _cuts(self.scores)
        self._sign = np.where(self.same, 1, -1).astype(np.int32)
        held = [np.flatnonzero(self.fold == name) for name in np.unique(self.fold)]
        rest = [np.flatnonzero(self.fold != name) for name in np.unique(self.fold)]
        self._folds = list(zip(held, rest if len(held) > 1 else held, strict=True))

    def fold_accuracies(self, weights: Weights) -> Floats:
        """Accuracy on each fold at the threshold that is most accurate on the others, float64 [batch, folds]."""
        signed = weights * self._sign
        rows = np.arange(len(weights))
        accuracies = []
        for held, train in self._folds:
            limits = _best_limits(self.scores[train], signed[:, train])
            accepted = np.searchsorted(-self.scores[held], -limits, side="left")
            # Accepting the first j pairs is right for (genuine among them - impostors among them) + all impostors.
            impostors = weights[:, held[~self.same[held]]].sum(axis=1)
            right = _cumulative(signed[:, held])[rows, accepted] + impostors
            accuracies.append(right / weights[:, held].sum(axis=1))
        return np.stack(accuracies, axis=1)

    def best_threshold(self) -> float:
        """The threshold that is most accurate over all pairs."""
        return float(_best_limits(self.scores, self._sign[None])[0])

    def tar(self, weights: Weights, limits: Sequence[int]) -> Floats:
        """True accept rate where at most ``limits`` impostor pairs are accepted, float64 [batch, limits]."""
        genuine = _cumulative(weights * self.same)[:, self.cuts]
        impostor = _cumulative(weights * ~self.same)[:, self.cuts]
        rates = np.empty((len(weights), len(limits)))
        for column, limit in enumerate(limits):
            last = (impostor <= limit).sum(axis=1) - 1
            rates[:, column] = genuine[np.arange(len(weights)), last] / genuine[:, -1]
        return rates

    def threshold(self, limit: int) -> float:
        """The lowest threshold that accepts at most ``limit`` impostor pairs."""
        impostor = _cumulative(~self.same[None])[0, self.cuts]
        accepted = int(self.cuts[(impostor <= limit).sum() - 1])
        ends = np.concatenate([
            [np.nextafter(self.scores[0], np.inf)], self.scores, [np.nextafter(self.scores[-1], -np.inf)],
        ])
        above, below = ends[accepted], ends[accepted + 1]
        middle = (above + below) / 2
        return float(middle if middle < above else below)

    def curve(self) -> tuple[Floats, Floats, float, float]:
        """False and true accept rates float64 [cuts], rising; the area under the curve; the equal error rate."""
        tpr = _cumulative(self.same[None])[0, self.cuts] / self.same.sum()
        fpr = _cumulative(~self.same[None])[0, self.cuts] / (~self.same).sum()
        area = float((np.diff(fpr) * (tpr[1:] + tpr[:-1]) / 2).sum())
        equal = float(np.interp(0.0, fpr + tpr - 1, fpr))
        return fpr, tpr, area, equal


def _cuts(falling: Floats) -> Ints:
    return np.flatnonzero(np.concatenate([[True], falling[1:] < falling[:-1], [True]]))


def _best_limits(falling: Floats, signed: NDArray[np.int32]) -> Floats:
    """The most accurate threshold of each row, float64 [batch], between the two present scores next to it.

    Args:
        falling: float64 [pairs], scores in falling order.
        signed: int32 [batch, pairs], how often a pair counts, negative for impostors.
    """
    cuts = _cuts(falling)
    best = cuts[_cumulative(signed)[:, cuts].argmax(axis=1)]
    rows, following = np.arange(len(signed)), best.copy()
    present = np.concatenate([signed != 0, np.ones((len(signed), 1), np.bool_)], axis=1)
    while not present[rows, following].all():  # a resample lacks few neighbours in a row, so this ends soon
        following += ~present[rows, following]
    ends = np.concatenate([[np.nextafter(falling[0], np.inf)], falling, [np.nextafter(falling[-1], -np.inf)]])
    above, below = ends[best], ends[following + 1]
    middle = (above + below) / 2
    limits: Floats = np.where(middle < above, middle, below)  # between neighbouring floats the midpoint is one of them
    return limits


def _cumulative(counts: NDArray[np.generic]) -> NDArray[np.int32]:
    total = np.zeros((counts.shape[0], counts.shape[1] + 1), np.int32)
    np.cumsum(counts, axis=1, dtype=np.int32, out=total[:, 1:])
    return total
