"""Verification: do two images show one person? k-fold accuracy, ROC, TAR at FAR, EER (LFW protocol, Huang 2007)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facekd.errors import DataError
from facekd.evaluation.statistics.bootstrap import Weights, bootstrap
from facekd.evaluation.statistics.far import Interval, allowed, measurable, percent, tar_lines
from facekd.evaluation.verification.roc import RankedPairs

FARS = ("1e-1", "1e-2", "1e-3", "1e-4")
ROC_POINTS = 500
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class VerificationResult:
    """What `verify` found; rates are fractions, intervals are 95 % bootstrap intervals.

    Attributes:
        accuracy: mean over the folds, the threshold of each chosen on the others.
        accuracy_std: standard deviation over the folds (population form).
        accuracy_interval: of ``accuracy``.
        auc: area under the ROC curve.
        eer: equal error rate.
        threshold: the best one over all pairs; a pair is accepted when its score is above it.
        pairs: number of pairs.
        tar: true accept rate at each false accept rate; None where there are too few impostor pairs.
        tar_interval: of each ``tar``.
        thresholds: the threshold behind each ``tar``; what a product compares similarities with.
        folds: number of folds.
        notes: sentences a reader of the figures needs.
        fpr: float64 [points], false accept rates of the ROC curve, rising (thinned for the picture).
        tpr: float64 [points], its true accept rates.
    """

    accuracy: float
    accuracy_std: float
    accuracy_interval: Interval
    auc: float
    eer: float
    threshold: float
    pairs: int
    tar: dict[str, float | None]
    tar_interval: dict[str, Interval | None]
    thresholds: dict[str, float | None]
    folds: int
    notes: tuple[str, ...]
    fpr: Floats
    tpr: Floats

    def to_dict(self) -> dict[str, Any]:
        """The fields of the JSON file, the ROC curve left out."""
        return {
            "accuracy": self.accuracy,
            "accuracy_std": self.accuracy_std,
            "accuracy_interval": list(self.accuracy_interval),
            "auc": self.auc,
            "eer": self.eer,
            "threshold": self.threshold,
            "pairs": self.pairs,
            "tar": self.tar,
            "tar_interval": {far: None if ends is None else list(ends) for far, ends in self.tar_interval.items()},
            "thresholds": self.thresholds,
            "folds": self.folds,
            "notes": list(self.notes),
        }

    def describe(self) -> str:
        """The result as lines to read."""
        lines = [
            f"accuracy {percent(self.accuracy, self.accuracy_interval)}, {self.folds} folds, "
            f"std {self.accuracy_std:.2%}",
            f"AUC {self.auc:.4f}, EER {self.eer:.2%}, threshold {self.threshold:.3f}, {self.pairs:,} pairs",
            *tar_lines(self.tar, self.tar_interval), *self.notes,
        ]
        return "\n".join(lines)


def verify(
    scores: ArrayLike,
    same: ArrayLike,
    fold: ArrayLike,
    fars: Sequence[str] = FARS,
    resamples: int = 1000,
    seed: int = 0,
) -> VerificationResult:
    """Measure how well scores tell genuine pairs from impostor pairs.

    A threshold is the midpoint between two neighbouring scores (beyond the ends: accept all, accept none); of equally
    good ones the highest is taken. TAR at a FAR is the largest true accept rate of any threshold that accepts at most
    floor(FAR * impostors) impostor pairs. The EER lies where the ROC curve, joined by straight lines, meets FAR = FRR.
    Intervals resample pairs within fold and class, choosing every threshold anew; a pair list does not say who is in
    it, so pairs that share a person count as independent and the intervals are somewhat too narrow.

    Args:
        scores: float [pairs], higher means more alike.
        same: bool [pairs], True for two images of one person.
        fold: int [pairs]; with one fold only, the threshold is chosen on the pairs it is tested on and a note says so.
        fars: false accept rates as text, e.g. ``"1e-3"``; they are the keys of the result.
        resamples: bootstrap resamples.
        seed: of the bootstrap.

    Raises:
        DataError: lengths differ, a score is not finite, or one of the two kinds of pairs is absent.
    """
    ranked = RankedPairs(*_checked(scores, same, fold))
    impostors = int((~ranked.same).sum())
    usable, notes = measurable(fars, impostors)
    limits = [allowed(far, impostors) for far in usable]

    def figures(weights: Weights) -> Floats:
        accuracy = ranked.fold_accuracies(weights).mean(axis=1, keepdims=True)
        return np.concatenate([accuracy, ranked.tar(weights, limits)], axis=1)

    once = np.ones((1, len(ranked.scores)), np.int32)
    accuracies = ranked.fold_accuracies(once)[0]
    tars = dict(zip(usable, ranked.tar(once, limits)[0].tolist(), strict=True))
    ends = [(low, high) for low, high in bootstrap(figures, ranked.fold * 2 + ranked.same, resamples, seed).tolist()]
    intervals = dict(zip(usable, ends[1:], strict=True))
    if len(accuracies) == 1:
        notes.insert(0, "one fold only: the threshold was chosen on the pairs it is tested on, accuracy is optimistic")
    alike = sum(len(set(ranked.same[ranked.fold == name].tolist())) == 1 for name in np.unique(ranked.fold))
    if alike and len(accuracies) > 1:
        notes.insert(0, f"{alike} of {len(accuracies)} folds hold pairs of one kind only: accuracy means little here, "
                     "AUC, EER and TAR do not depend on folds")
    fpr, tpr, auc, eer = ranked.curve()
    thin = _thinned(len(fpr))
    return VerificationResult(
        accuracy=float(accuracies.mean()), accuracy_std=float(accuracies.std()), accuracy_interval=ends[0],
        auc=auc, eer=eer, threshold=ranked.best_threshold(), pairs=len(ranked.scores),
        tar={far: tars.get(far) for far in fars}, tar_interval={far: intervals.get(far) for far in fars},
        thresholds={far: ranked.threshold(allowed(far, impostors)) if far in usable else None for far in fars},
        folds=len(accuracies), notes=tuple(notes), fpr=fpr[thin], tpr=tpr[thin],
    )


def most_wrong(scores: Floats, same: NDArray[np.bool_], threshold: float, k: int) -> tuple[Ints, Ints]:
    """The pairs on which a threshold is most clearly right, and those on which it is most clearly wrong.

    Args:
        scores: float [pairs].
        same: bool [pairs].
        threshold: pairs above it are accepted.
        k: at most so many of each.

    Returns:
        Two int64 arrays of pair numbers, the clearest first: decided rightly, decided wrongly.
    """
    distance = np.abs(scores - threshold)
    right = (scores > threshold) == same
    order = np.argsort(-distance, kind="stable")
    return order[right[order]][:k], order[~right[order]][:k]


def _thinned(points: int) -> Ints:
    """Points of the curve that a picture needs, densely where the false accept rate is low."""
    places = np.concatenate([np.linspace(0, 1, ROC_POINTS), np.geomspace(1 / points, 1, ROC_POINTS)])
    return np.unique((places * (points - 1)).round().astype(np.int64))


def _checked(scores: ArrayLike, same: ArrayLike, fold: ArrayLike) -> tuple[Floats, NDArray[np.bool_], Ints]:
    value, truth, part = np.asarray(scores, np.float64), np.asarray(same, np.bool_), np.asarray(fold, np.int64)
    if value.ndim != 1 or value.shape != truth.shape or value.shape != part.shape:
        raise DataError(f"{value.shape} scores, {truth.shape} truths, {part.shape} folds; a pair needs one of each")
    bad = int((~np.isfinite(value)).sum())
    if bad:
        raise DataError(f"{bad} of {len(value)} pair scores are not finite; check the model")
    if truth.all() or not truth.any():
        missing = "impostor (same = 0)" if len(truth) and truth.all() else "genuine (same = 1)"
        raise DataError(f"none of the {len(truth)} pairs is {missing}; verification needs pairs of both kinds")
    return value, truth, part
