"""The result of a verification: its figures, the fields of its JSON file, and lines for people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from facekd.evaluation.statistics.far import format_percent, format_tars
from facekd.evaluation.types import FloatArray, Interval
from facekd.evaluation.verification.all_impostors import AllImpostors
from facekd.evaluation.verification.probability import ProbabilityCalibration


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
        all_impostors: rates at thresholds of all impostor pairs of the images; None without embeddings of the images,
            or if the people in them are not known.
        probability: the calibration of the scores; None without embeddings of the images, or with too few pairs.
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
    all_impostors: AllImpostors | None = None
    probability: ProbabilityCalibration | None = None

    def figures(self) -> dict[str, tuple[float | None, Interval | None]]:
        """Return accuracy, TARs and AUC by name, each with its interval; then the TARs of all impostor pairs."""
        return {"accuracy": (self.accuracy, self.accuracy_interval),
                **{f"TAR at FAR {far}": (tar, self.tar_interval[far]) for far, tar in self.tar.items()},
                "AUC": (self.auc, None), **(self.all_impostors.figures() if self.all_impostors else {})}

    def limits(self) -> dict[str, float | None]:
        """Return the thresholds by name; then those of all impostor pairs."""
        every = self.all_impostors.thresholds if self.all_impostors else {}
        return {**{f"threshold at FAR {far}": threshold for far, threshold in self.thresholds.items()},
                **{f"threshold of all impostors at FAR {far}": threshold for far, threshold in every.items()}}

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
            "all_impostors": self.all_impostors.to_dict() if self.all_impostors else None,
            "probability": self.probability.to_dict() if self.probability else None,
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
        if self.all_impostors:
            lines += self.all_impostors.describe()
        if self.probability:
            lines.append(self.probability.describe())
        return "\n".join(lines)
