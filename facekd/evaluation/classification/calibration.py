"""Calibration: of the images with a confidence of 80 %, are 80 % classified correctly? (Guo et al., ICML 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from facekd.evaluation.types import BoolArray, FloatArray

NUM_BINS = 15
"""As in Guo et al. and most papers since; figures with another number of bins are not comparable."""


@dataclass(frozen=True)
class Bin:
    """Images with about the same confidence.

    Attributes:
        confidence: mean probability of the predicted class; None without an image.
        accuracy: share of the images that are classified correctly; None without an image.
        count: number of images.
    """

    confidence: float | None
    accuracy: float | None
    count: int


def reliability_bins(confidence: FloatArray, correct: BoolArray) -> tuple[Bin, ...]:
    """Sort images into 15 bins of equal width, (m/15, (m+1)/15].

    Args:
        confidence: float64 [images], probability of the predicted class, in (0, 1].
        correct: bool [images], whether the predicted class is the true one.
    """
    edges = np.arange(NUM_BINS + 1) / NUM_BINS
    bin_index = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, NUM_BINS - 1)
    counts = np.bincount(bin_index, minlength=NUM_BINS)
    confidence_sums = np.bincount(bin_index, confidence, minlength=NUM_BINS)
    correct_counts = np.bincount(bin_index, correct.astype(np.float64), minlength=NUM_BINS)
    return tuple(
        Bin(float(total / count), float(hits / count), int(count)) if count else Bin(None, None, 0)
        for total, hits, count in zip(confidence_sums, correct_counts, counts, strict=True)
    )


def expected_calibration_error(bins: Sequence[Bin]) -> float:
    """Compute the mean gap between confidence and accuracy of the bins, weighted by their numbers of images."""
    images = sum(group.count for group in bins)
    return sum(
        group.count / images * abs(group.accuracy - group.confidence)
        for group in bins if group.accuracy is not None and group.confidence is not None
    )
