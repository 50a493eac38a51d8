"""Thresholds for low false accept rates, of every two images that show different people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facekd.evaluation.statistics.far import allowed, measurable

FARS = ("1e-2", "1e-3", "1e-4", "1e-5", "1e-6")
ROWS = 512
"""Images compared with all later ones at a time."""


def thresholds(features: NDArray[np.floating[Any]], people: Sequence[str],
               fars: Sequence[str] = FARS) -> tuple[dict[str, float | None], int]:
    """What to compare a cosine with, so that at most a given share of impostor pairs score more.

    A pair list names a few thousand impostor pairs; its images make millions. These share images and people, so a
    threshold is less certain than from as many pairs of strangers.

    Args:
        features: float [images, dimension], rows of unit length.
        people: who is in each image.
        fars: false accept rates as text, e.g. ``"1e-4"``; they are the keys of the result.

    Returns:
        The threshold at each rate, the lowest above which at most floor(FAR * impostors) impostor pairs score, None
        where there are too few of them; and the number of impostor pairs.
    """
    person = np.unique(np.asarray(people), return_inverse=True)[1]
    sizes = np.bincount(person)
    impostors = int(len(person) ** 2 - (sizes**2).sum()) // 2
    usable, _ = measurable(fars, impostors)
    most = max((allowed(far, impostors) for far in usable), default=0) + 1
    highest = np.empty(0, features.dtype)
    for start in range(0, len(features) if usable else 0, ROWS):
        own = np.arange(start, min(start + ROWS, len(features)))
        pairs = (person[own, None] != person) & (own[:, None] < np.arange(len(features)))
        highest = np.concatenate([highest, (features[own] @ features.T)[pairs]])
        if len(highest) > most:
            highest = np.partition(highest, len(highest) - most)[-most:]
    falling = np.sort(highest)[::-1]
    return {far: float(falling[allowed(far, impostors)]) if far in usable else None for far in fars}, impostors
