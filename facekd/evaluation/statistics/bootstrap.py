"""Percentile bootstrap (Efron 1979): how far a figure would move had other pairs or other people been drawn."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

BATCH = 1 << 20
"""Weights drawn at a time (resamples x items), which bounds memory."""

Weights = NDArray[np.int32]
Statistic = Callable[[Weights], NDArray[np.float64]]


def bootstrap(
    statistic: Statistic, strata: NDArray[np.int64], resamples: int = 1000, seed: int = 0, level: float = 0.95
) -> NDArray[np.float64]:
    """Percentile intervals of one or more figures by drawing items with replacement.

    Args:
        statistic: takes int32 [batch, items], how often each item counts in a resample, and gives float64
            [batch, figures].
        strata: int64 [items]; items are drawn within their stratum, so each keeps its size in every resample.
        resamples: number of resamples.
        seed: of the draw; the same seed gives the same intervals.
        level: share of the resamples inside the interval.

    Returns:
        float64 [figures, 2], lower and upper end.
    """
    generator = np.random.default_rng(seed)
    items = len(strata)
    order = np.argsort(strata, kind="stable")
    _, start, size = np.unique(strata[order], return_index=True, return_counts=True)
    first, width = np.repeat(start, size), np.repeat(size, size)
    batch = max(1, BATCH // items)
    figures = []
    for done in range(0, resamples, batch):
        rows = min(batch, resamples - done)
        drawn = order[first + (generator.random((rows, items)) * width).astype(np.int64)]
        drawn += np.arange(rows)[:, None] * items
        weights = np.bincount(drawn.ravel(), minlength=rows * items).reshape(rows, items)
        figures.append(statistic(weights.astype(np.int32)))
    tail = (1 - level) / 2
    ends: NDArray[np.float64] = np.quantile(np.concatenate(figures), [tail, 1 - tail], axis=0).T
    return ends
