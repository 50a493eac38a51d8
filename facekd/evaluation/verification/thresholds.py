"""Thresholds at low false accept rates, from all pairs of images that show different people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from facekd.evaluation.statistics.far import allowed_false_accepts, measurable_fars
from facekd.evaluation.types import IntArray

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
    falling = highest_impostors(features, identity, capacity).scores if usable else np.empty(0)
    thresholds = {
        far: float(falling[allowed_false_accepts(far, impostors)]) if far in usable else None for far in fars
    }
    return thresholds, impostors


class ImpostorPairs(NamedTuple):
    """The impostor pairs of highest similarity, in falling order.

    Attributes:
        scores: float [kept], cosines.
        first: int64 [kept], index of the first image.
        second: int64 [kept], index of the second image.
    """

    scores: NDArray[np.floating[Any]]
    first: IntArray
    second: IntArray


def highest_impostors(features: NDArray[np.floating[Any]], identity: IntArray, capacity: int, *,
                      others: NDArray[np.floating[Any]] | None = None) -> ImpostorPairs:
    """Find the pairs of images of different people with the highest cosines.

    Args:
        features: float [images, dimension], rows of unit length.
        identity: int64 [images], the person in each image.
        capacity: number of pairs to keep; all if there are fewer.
        others: float [images, dimension], the second image of each pair by another model; each pair then counts in
            both orders.
    """
    images = len(features)
    scores, codes = np.empty(0, features.dtype), np.empty(0, np.int64)  # a code is first * images + second
    lowest = -np.inf
    for start in range(0, images, BLOCK_ROWS):
        rows = np.arange(start, min(start + BLOCK_ROWS, images))
        cosines = features[rows] @ (features if others is None else others).T
        is_impostor = (identity[rows, None] != identity) & (cosines > lowest)
        if others is None:
            is_impostor &= rows[:, None] < np.arange(images)
        scores = np.concatenate([scores, cosines[is_impostor]])
        codes = np.concatenate([codes, np.flatnonzero(is_impostor) + start * images])
        if len(scores) > capacity:
            kept = np.argpartition(scores, len(scores) - capacity)[-capacity:]
            scores, codes = scores[kept], codes[kept]
            lowest = scores.min()
    falling = np.argsort(-scores, kind="stable")
    return ImpostorPairs(scores[falling], codes[falling] // images, codes[falling] % images)
