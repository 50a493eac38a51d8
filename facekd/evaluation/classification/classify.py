"""Closed-set classification: is an image's class first, how sure is the model, and does it follow its teacher?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facekd.errors import DataError
from facekd.evaluation.classification.calibration import Bin, expected_error, reliability
from facekd.evaluation.classification.predictions import Floats, Logits, follow, look
from facekd.evaluation.statistics.bootstrap import Weights, bootstrap
from facekd.evaluation.statistics.far import Interval, percent

TOP = 5
FEWEST = 10
"""Images a class needs to be drawn within itself: with n of them its share varies by (n - 1) / n too little."""


@dataclass(frozen=True, eq=False)
class ClassificationResult:
    """What `classify` found; rates are fractions, intervals are 95 % bootstrap intervals over images.

    Attributes:
        top1: share of the images whose class has the largest logit.
        top1_interval: of ``top1``.
        top5: share of the images whose class is among the five largest logits; None with five classes or fewer.
        top5_interval: of ``top5``.
        per_class: ``top1`` among the images of each class, by name; None for a class without an image.
        ece: expected calibration error of the largest probability, 15 bins.
        reliability: the bins behind ``ece``.
        nll: mean negative log-likelihood of the true class, in nats.
        images: number of images.
        classes: number of classes.
        agreement: share of the images on which model and teacher put the same class first; None without a teacher.
        kl: mean KL(teacher || model) at temperature 1, in nats; None without a teacher.
        notes: sentences a reader of the figures needs.
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
        """The fields of the JSON file."""
        return {
            "top1": self.top1,
            "top1_interval": list(self.top1_interval),
            "top5": self.top5,
            "top5_interval": None if self.top5_interval is None else list(self.top5_interval),
            "per_class": self.per_class,
            "ece": self.ece,
            "reliability": [asdict(one) for one in self.reliability],
            "nll": self.nll,
            "images": self.images,
            "classes": self.classes,
            "agreement": self.agreement,
            "kl": self.kl,
            "notes": list(self.notes),
        }

    def describe(self) -> str:
        """The result as lines to read."""
        top5 = "" if self.top5 is None else f", top-5 {percent(self.top5, self.top5_interval)}"
        lines = [
            f"top-1 {percent(self.top1, self.top1_interval)}{top5}",
            f"ECE {percent(self.ece, None)}, NLL {self.nll:.4f}, {self.images:,} images of {self.classes:,} classes",
        ]
        known = [(share, name) for name, share in self.per_class.items() if share is not None]
        (low, worst), (high, best) = min(known), max(known)
        lines.append(f"by class from {percent(low, None)} ({worst}) to {percent(high, None)} ({best})")
        if self.agreement is not None:
            lines.append(f"agreement with the teacher {percent(self.agreement, None)}, KL {self.kl:.4f}")
        return "\n".join([*lines, *self.notes])


def classify(
    logits: Logits,
    labels: ArrayLike,
    names: Sequence[str],
    teacher_logits: Logits | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> ClassificationResult:
    """Measure a classifier by its logits; the softmax is taken in float64.

    Of equal logits the class with the lower number comes first, as in ``argmax``; so a model that says the same of
    every class is right on the images of class 0 only. Intervals resample images within their class, or among all
    images where a class has fewer than ten.

    Args:
        logits: float [images, classes].
        labels: int [images], 0 to classes-1.
        names: one a class.
        teacher_logits: float [images, classes] of a teacher on the same images.
        resamples: bootstrap resamples.
        seed: of the bootstrap.

    Raises:
        DataError: shapes do not fit, a label is no class, a logit is not finite, or there is no image.
    """
    truth = np.asarray(labels)
    _check(logits, truth, names, "the model's logits")
    if teacher_logits is not None:
        _check(teacher_logits, truth, names, "the teacher's logits")
    truth = truth.astype(np.int64)
    found, images, classes = look(logits, truth), len(truth), len(names)
    places = (1, TOP) if classes > TOP else (1,)
    hits = np.column_stack([found.rank < place for place in places]).astype(np.float64)
    sizes = np.bincount(truth, minlength=classes)
    thin = bool(((sizes > 0) & (sizes < FEWEST)).any())

    def figures(weights: Weights) -> Floats:
        shares: Floats = weights @ hits / images
        return shares

    drawn = bootstrap(figures, np.zeros_like(truth) if thin else truth, resamples, seed)
    shares, ends = hits.mean(axis=0).tolist(), [(low, high) for low, high in drawn.tolist()]
    right = np.bincount(truth, hits[:, 0], minlength=classes)
    by_class = [float(r / n) if n else None for r, n in zip(right, sizes, strict=True)]
    bins = reliability(found.confidence, found.rank == 0)
    agreement, kl = (None, None) if teacher_logits is None else follow(logits, teacher_logits)
    return ClassificationResult(
        top1=shares[0], top1_interval=ends[0], top5=shares[1] if classes > TOP else None,
        top5_interval=ends[1] if classes > TOP else None,
        per_class=dict(zip(_told_apart(names), by_class, strict=True)), ece=expected_error(bins), reliability=bins,
        nll=float(found.nll.mean()), images=images, classes=classes, agreement=agreement, kl=kl,
        notes=tuple(_notes(sizes, thin)),
    )


def _notes(sizes: NDArray[np.int64], thin: bool) -> Iterator[str]:
    if len(sizes) <= TOP:
        yield f"top-5 is not given: with {len(sizes)} classes it is right of itself"
    absent = int((sizes == 0).sum())
    if absent:
        yield f"{absent} of {len(sizes)} classes have no image: nothing is known of them"
    if thin:
        yield f"some classes have fewer than {FEWEST} images: the intervals draw among all images, not within classes"


def _told_apart(names: Sequence[str]) -> list[str]:
    """The classes' names; two ImageNet classes are called crane, so a shared name gets the class number behind it."""
    times = Counter(names)
    return [name if times[name] == 1 else f"{name} ({number})" for number, name in enumerate(names)]


def _check(logits: Logits, labels: NDArray[Any], names: Sequence[str], what: str) -> None:
    images, classes = labels.size, len(names)
    if labels.ndim != 1 or not images:
        raise DataError("there is no image to classify; check the data set and its split")
    if logits.shape != (images, classes):
        raise DataError(f"{what} are {list(logits.shape)}, {images} images of {classes} classes need as many")
    if labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() >= classes:
        raise DataError(f"labels are {labels.dtype} {labels.min()} to {labels.max()}, not classes 0 to {classes - 1}")
    bad = int((~np.isfinite(logits).all(axis=1)).sum())
    if bad:
        raise DataError(f"{what} are not finite for {bad} of {images} images; check the model")
