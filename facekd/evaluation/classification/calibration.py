"""Calibration: of the images a model is 80 % sure of, are 80 % right? (Guo et al., ICML 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BINS = 15
"""As many as in Guo et al. and most papers since; figures with other numbers of bins do not compare."""


@dataclass(frozen=True)
class Bin:
    """Images on which a model is about equally sure.

    Attributes:
        confidence: their mean probability of the class put first; None without an image.
        accuracy: the share of them that is right; None without an image.
        count: number of images.
    """

    confidence: float | None
    accuracy: float | None
    count: int


def reliability(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> tuple[Bin, ...]:
    """Sort images into 15 bins of equal width, (m/15, (m+1)/15].

    Args:
        confidence: float64 [images], the probability of the class put first, in (0, 1].
        right: bool [images], whether that is the image's class.
    """
    place = np.clip(np.searchsorted(np.arange(BINS + 1) / BINS, confidence, side="left") - 1, 0, BINS - 1)
    counts = np.bincount(place, minlength=BINS)
    sure, hits = (np.bincount(place, values, minlength=BINS) for values in (confidence, right.astype(np.float64)))
    return tuple(
        Bin(float(s / n), float(h / n), int(n)) if n else Bin(None, None, 0)
        for s, h, n in zip(sure, hits, counts, strict=True)
    )


def expected_error(bins: Sequence[Bin]) -> float:
    """Expected calibration error: the bins' gaps between confidence and accuracy, weighted by their images."""
    images = sum(one.count for one in bins)
    return sum(
        one.count / images * abs(one.accuracy - one.confidence)
        for one in bins if one.accuracy is not None and one.confidence is not None
    )
