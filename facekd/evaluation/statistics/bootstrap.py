"""The percentile bootstrap (Efron 1979): the variation of a figure over other samples of pairs or people."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from facekd.evaluation.types import FloatArray, Int32Array, IntArray

MAX_WEIGHTS = 1 << 20
"""Weights drawn at a time (resamples x items); it bounds the memory."""

Weights = Int32Array
"""int32 [batch, items]: how often each item counts in each resample."""
Statistic = Callable[[Weights], FloatArray]
"""Compute float64 [batch, figures] from int32 weights [batch, items]."""


def bootstrap(
    statistic: Statistic, strata: IntArray, resamples: int = 1000, seed: int = 0, level: float = 0.95
) -> FloatArray:
    """Compute percentile intervals of one or more figures by drawing items with replacement.

    Args:
        statistic: the figures as a function of the weights.
        strata: int64 [items]; items are drawn within their stratum, so each stratum keeps its size in every resample.
        resamples: number of resamples.
        seed: seed of the draw; the same seed gives the same intervals.
        level: share of the resamples inside the interval.

    Returns:
        float64 [figures, 2], lower and upper end.
    """
    generator = np.random.default_rng(seed)
    num_items = len(strata)
    # Sorted by stratum, the members of an item's stratum are order[first : first + size]; a uniform number in [0, 1)
    # times the size picks one of them, for all resamples and items at once.
    order = np.argsort(strata, kind="stable")
    _, stratum_start, stratum_size = np.unique(strata[order], return_index=True, return_counts=True)
    first = np.repeat(stratum_start, stratum_size)
    size = np.repeat(stratum_size, stratum_size)
    max_rows = max(1, MAX_WEIGHTS // num_items)
    figures = []
    for start in range(0, resamples, max_rows):
        rows = min(max_rows, resamples - start)
        drawn = order[first + (generator.random((rows, num_items)) * size).astype(np.int64)]
        # One bincount for all rows: the items of row r are numbered from r * num_items.
        drawn += np.arange(rows)[:, None] * num_items
        weights = np.bincount(drawn.ravel(), minlength=rows * num_items).reshape(rows, num_items)
        figures.append(statistic(weights.astype(np.int32)))
    tail = (1 - level) / 2
    intervals: FloatArray = np.quantile(np.concatenate(figures), [tail, 1 - tail], axis=0).T
    return intervals


def by_group(statistic: Statistic, group: IntArray) -> Statistic:
    """Turn figures of weighted items into figures of weighted groups; an item counts as often as its group.

    Args:
        statistic: the figures as a function of the weights of the items.
        group: int64 [items], the group of each item, numbered from 0.
    """
    rows = max(1, MAX_WEIGHTS // len(group))  # blocks bound the memory, because groups are fewer than items
    return lambda weights: np.concatenate(
        [statistic(weights[start : start + rows][:, group]) for start in range(0, len(weights), rows)]
    )
