"""The result of a verification: its figures, the fields of its JSON file, and lines for people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from facekd.evaluation.statistics.far import format_percent, format_tars
from facekd.evaluation.types import FloatArray, Interval


@dataclass(frozen=True, eq=False)
class VerificationResult:
    """The result of `verify`; rates are fractions, intervals are 95 % bootstrap intervals.

    Attributes:
        accuracy: mean over the folds; the threshold of each fold is chosen on the other folds.
        accuracy_std: standard deviation over the folds (population form).
        accuracy_interval: interval of ``accuracy``.
        auc: area under the ROC curve.
        eer: equal error rate.
        threshold: the most accurate threshold over all pairs; a pair is accepted if its score is above it.
        pairs: number of pairs.
        tar: true accept rate at each false accept rate; None where there are too few impostor pairs.
        tar_interval: interval of each ``tar``.
        thresholds: the threshold of each ``tar``; a product compares similarities with it.
        folds: number of folds.
        notes: sentences that a reader of the figures needs.
        fpr: float64 [points], false accept rates of the ROC curve, rising (thinned for plots).
        tpr: float64 [points], true accept rates of the ROC curve.
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
    fpr: FloatArray
    tpr: FloatArray

    def to_dict(self) -> dict[str, Any]:
        """Return the fields of the JSON file; the ROC curve is left out."""
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
        """Format the result as lines for people."""
        lines = [
            f"accuracy {format_percent(self.accuracy, self.accuracy_interval)}, {self.folds} folds, "
            f"std {self.accuracy_std:.2%}",
            f"AUC {self.auc:.4f}, EER {self.eer:.2%}, {self.pairs:,} pairs",
            *format_tars(self.tar, self.tar_interval, self.thresholds),
            f"threshold {self.threshold:.3f} has the highest accuracy on these pairs; a pair is of one person if its "
            "cosine similarity is above the threshold", *self.notes,
        ]
        return "\n".join(lines)
