"""Thresholds at low false accept rates, from all pairs of images that show different people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facekd.evaluation.statistics.far import allowed_false_accepts, measurable_fars

FARS = ("1e-2", "1e-3", "1e-4", "1e-5", "1e-6")
BLOCK_ROWS = 512
"""Images compared with all later ones at a time."""


def thresholds_at_fars(features: NDArray[np.floating[Any]], identities: Sequence[str],
                       fars: Sequence[str] = FARS) -> tuple[dict[str, float | None], int]:
    """Compute the cosine thresholds above which at most a given share of the impostor pairs score.

    A pair list names a few thousand impostor pairs, but its images make millions. These pairs share images and people,
    so a threshold is less certain than one from as many independent pairs.

    Args:
        features: float [images, dimension], rows of unit length.
        identities: the person in each image.
        fars: false accept rates as text, e.g. ``"1e-4"``; they are the keys of the result.

    Returns:
        The lowest threshold at each rate above which at most floor(FAR * impostors) impostor pairs score, None where
        there are too few impostor pairs; and the number of impostor pairs.
    """
    identity = np.unique(np.asarray(identities), return_inverse=True)[1]
    counts = np.bincount(identity)
    impostors = int(len(identity) ** 2 - (counts**2).sum()) // 2
    usable, _ = measurable_fars(fars, impostors)
    # The threshold is the first score that would be one accept too many, so one more score is kept than is allowed.
    capacity = max((allowed_false_accepts(far, impostors) for far in usable), default=0) + 1
    highest = np.empty(0, features.dtype)
    for start in range(0, len(features) if usable else 0, BLOCK_ROWS):
        rows = np.arange(start, min(start + BLOCK_ROWS, len(features)))
        is_impostor = (identity[rows, None] != identity) & (rows[:, None] < np.arange(len(features)))
        highest = np.concatenate([highest, (features[rows] @ features.T)[is_impostor]])
        if len(highest) > capacity:
            highest = np.partition(highest, len(highest) - capacity)[-capacity:]
    falling = np.sort(highest)[::-1]
    thresholds = {
        far: float(falling[allowed_false_accepts(far, impostors)]) if far in usable else None for far in fars
    }
    return thresholds, impostors
