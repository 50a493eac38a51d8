"""The result of a classification: its figures, the fields of its JSON file, and lines for people."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from facekd.evaluation.classification.calibration import Bin
from facekd.evaluation.statistics.far import format_percent
from facekd.evaluation.types import Interval


@dataclass(frozen=True, eq=False)
class ClassificationResult:
    """The result of `classify`; rates are fractions, intervals are 95 % bootstrap intervals over images.

    Attributes:
        top1: share of the images whose class has the largest logit.
        top1_interval: interval of ``top1``.
        top5: share of the images whose class is among the five largest logits; None with five classes or fewer.
        top5_interval: interval of ``top5``.
        per_class: ``top1`` among the images of each class, by name; None for a class without an image.
        ece: expected calibration error of the largest probability, 15 bins.
        reliability: the bins of ``ece``.
        nll: mean negative log-likelihood of the true class, in nats.
        images: number of images.
        classes: number of classes.
        agreement: share of the images for which model and teacher predict the same class; None without a teacher.
        kl: mean KL(teacher || model) at temperature 1, in nats; None without a teacher.
        notes: sentences that a reader of the figures needs.
    """

    top1: float
    top1_interval: Interval
    top5: float | None
    top5_interval: Interval | None
    per_class: dict[str, float | None]
    ece: float
    reliability: tuple[Bin, ...]
    nll: float
    images: int
    classes: int
    agreement: float | None
    kl: float | None
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the fields of the JSON file."""
        return {
            "top1": self.top1,
            "top1_interval": list(self.top1_interval),
            "top5": self.top5,
            "top5_interval": None if self.top5_interval is None else list(self.top5_interval),
            "per_class": self.per_class,
            "ece": self.ece,
            "reliability": [asdict(group) for group in self.reliability],
            "nll": self.nll,
            "images": self.images,
            "classes": self.classes,
            "agreement": self.agreement,
            "kl": self.kl,
            "notes": list(self.notes),
        }

    def describe(self) -> str:
        """Format the result as lines for people."""
        top5 = "" if self.top5 is None else f", top-5 {format_percent(self.top5, self.top5_interval)}"
        lines = [
            f"top-1 {format_percent(self.top1, self.top1_interval)}{top5}",
            f"ECE {format_percent(self.ece, None)}, NLL {self.nll:.4f}, {self.images:,} images of "
            f"{self.classes:,} classes",
        ]
        measured = [(share, name) for name, share in self.per_class.items() if share is not None]
        lowest, worst = min(measured)
        highest, best = max(measured)
        lines.append(f"by class from {format_percent(lowest, None)} ({worst}) to "
                     f"{format_percent(highest, None)} ({best})")
        if self.agreement is not None:
            lines.append(f"agreement with the teacher {format_percent(self.agreement, None)}, KL {self.kl:.4f}")
        return "\n".join([*lines, *self.notes])
