"""Agglomerative clustering by average cosine, with memory for the rows alone."""

from __future__ import annotations

import numpy as np
import torch

from facekd.data.feature_set import Features
from facekd.evaluation.types import BoolArray, IntArray
from facekd.utils.progress import progress_bar

TILE_ROWS = 2048
"""Rows compared at once with tiles of as many columns: a tile of scores has 16 MiB."""


def average_linkage(rows: Features, min_cosine: float, device: torch.device | str = "cpu") -> IntArray:
    """Group rows: two groups are merged while the mean cosine of all their pairs is at least ``min_cosine``.

    The groups are those of scikit-learn's ``AgglomerativeClustering(linkage="average", metric="cosine")`` with
    ``distance_threshold = 1 - min_cosine``, which needs the distances of all pairs at once (40 GB for 100,000 rows).
    Two facts save that memory. The mean cosine of all pairs of two groups is the dot product of the means of their
    unit rows. And average linkage is reducible (Murtagh, The Computer Journal 26, 1983): a merger brings no group
    nearer to a third one than its nearer half was. So all pairs of groups that are nearest to each other may be merged
    at once, and the nearest group of the others remains the same.

    Args:
        rows: float32 [rows, dimension], unit rows.
        min_cosine: the threshold.
        device: device of the products; twice the rows must fit into its memory.

    Returns:
        int64 [rows], the smallest row of the group of each row.
    """
    linkage = _Linkage(rows, device)
    with progress_bar("group", len(rows), "rows") as advance:
        while linkage.is_active.any():
            linkage.find_nearest()
            before = int(linkage.is_active.sum())
            linkage.is_active &= linkage.cosine >= min_cosine  # the other groups are final
            linkage.merge_mutual()
            advance(before - int(linkage.is_active.sum()), f"{before:,} left")
    return linkage.groups()


class _Linkage:
    """The state of the clustering; a group is the smallest of its rows."""

    def __init__(self, rows: Features, device: torch.device | str) -> None:
        self.sums = torch.from_numpy(np.array(rows, np.float32)).to(device)  # a copy
        self.sizes = torch.ones(len(rows), device=device)
        self.parent: IntArray = np.arange(len(rows))
        self.is_active: BoolArray = np.ones(len(rows), np.bool_)
        self.nearest: IntArray = np.full(len(rows), -1)
        self.cosine = np.full(len(rows), -np.inf, np.float32)
        self.is_stale: BoolArray = np.ones(len(rows), np.bool_)

    def find_nearest(self) -> None:
        """Find the nearest active group of every group for which it may have changed."""
        active = np.flatnonzero(self.is_active)
        stale = np.flatnonzero(self.is_active & self.is_stale)
        means = self._means(active)
        for start in range(0, len(stale), TILE_ROWS):
            block = stale[start : start + TILE_ROWS]
            own = torch.from_numpy(np.searchsorted(active, block)).to(means.device)
            cosine, column = _nearest_columns(self._means(block), means, own)
            self.nearest[block] = active[column.cpu().numpy()]
            self.cosine[block] = cosine.cpu().numpy()
        self.is_stale[:] = False

    def merge_mutual(self) -> None:
        """Merge all pairs of groups that are nearest to each other."""
        active = np.flatnonzero(self.is_active)
        if not len(active):
            return
        is_first = (self.nearest[self.nearest[active]] == active) & (active < self.nearest[active])
        first = active[is_first]
        if not len(first):  # rounding made a circle of equal cosines
            nearest_pair = active[self.cosine[active].argmax()]
            first = np.minimum(nearest_pair, self.nearest[nearest_pair])[None]
            second = np.maximum(nearest_pair, self.nearest[nearest_pair])[None]
        else:
            second = self.nearest[first]
        self.sums[first] += self.sums[second]
        self.sizes[first] += self.sizes[second]
        self.parent[second] = first
        self.is_active[second] = False
        is_merged = np.zeros(len(self.parent), np.bool_)
        is_merged[first] = is_merged[second] = True
        self.is_stale = is_merged | is_merged[self.nearest]

    def groups(self) -> IntArray:
        """Return the group of each row."""
        groups = self.parent
        while not np.array_equal(groups, groups[groups]):
            groups = groups[groups]
        return groups

    def _means(self, groups: IntArray) -> torch.Tensor:
        index = torch.from_numpy(groups).to(self.sums.device)
        return self.sums[index] / self.sizes[index, None]


def _nearest_columns(rows: torch.Tensor, columns: torch.Tensor, own: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return for each row its highest dot product with a column and that column, the row's ``own`` column left out."""
    best = torch.full((len(rows),), -torch.inf, device=rows.device)
    best_column = torch.zeros(len(rows), dtype=torch.int64, device=rows.device)
    for left in range(0, len(columns), TILE_ROWS):
        scores = rows @ columns[left : left + TILE_ROWS].T
        inside = (own >= left) & (own < left + scores.shape[1])
        scores[inside, own[inside] - left] = -torch.inf
        cosine, column = scores.max(1)
        better = cosine > best
        best = torch.where(better, cosine, best)
        best_column = torch.where(better, left + column, best_column)
    return best, best_column
