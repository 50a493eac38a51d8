"""Images without labels in groups of one person each, with how doubtful each image is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from sklearn.metrics import adjusted_rand_score
from sklearn.metrics.cluster import contingency_matrix, pair_confusion_matrix

from facekd.data.feature_set import Features
from facekd.evaluation.dataset_quality.average_linkage import TILE_ROWS, average_linkage
from facekd.evaluation.types import Float32Array, FloatArray, IntArray

MIN_COSINE = 0.45
"""Default threshold; `docs/grouping.md` has the measurement."""


@dataclass(frozen=True, eq=False)
class Grouping:
    """Images in groups.

    Attributes:
        min_cosine: the mean cosine from which two groups were merged.
        group: int64 [images], the group of each image: 0 for the largest; -1 for an image that is left alone.
        own_cosine: float32 [images], mean cosine to the other images of the group; NaN for an image alone.
        next_group: int64 [images], the nearest other group; -1 if there is none.
        next_cosine: float32 [images], mean cosine to the images of that group; NaN if there is none.
    """

    min_cosine: float
    group: IntArray
    own_cosine: Float32Array
    next_group: IntArray
    next_cosine: Float32Array

    @property
    def people(self) -> int:
        """Number of groups."""
        return int(self.group.max(initial=-1)) + 1

    @property
    def alone(self) -> int:
        """Number of images in no group."""
        return int((self.group < 0).sum())

    @property
    def margin(self) -> Float32Array:
        """By how much an image is nearer to its group, or to the threshold if it is alone, than to the next group.

        float32 [images]; infinite if there is no other group.
        """
        own = np.where(self.group < 0, np.float32(self.min_cosine), self.own_cosine)
        return np.where(self.next_group < 0, np.float32(np.inf), own - self.next_cosine)


@dataclass(frozen=True)
class Agreement:
    """How far groups agree with labels; an image alone is a group of its own.

    Attributes:
        precision: share of the pairs of images in one group that have one label.
        recall: share of the pairs of images with one label that are in one group.
        purity: share of the images whose label is the most frequent one of their group.
        adjusted_rand: adjusted Rand index (Hubert and Arabie 1985): 1 for equal groups, 0 for groups at random.
    """

    precision: float
    recall: float
    purity: float
    adjusted_rand: float

    def describe(self) -> str:
        """Return the figures in one line."""
        return (f"pairs in one group: {self.precision:.2%} right, {self.recall:.2%} of all that belong together; "
                f"purity {self.purity:.2%}, adjusted Rand {self.adjusted_rand:.3f}")


def group_rows(rows: Features, min_cosine: float = MIN_COSINE, min_images: int = 2,
               device: torch.device | str = "cpu") -> Grouping:
    """Group embeddings by `average_linkage`.

    Args:
        rows: float32 [images, dimension], unit rows.
        min_cosine: the mean cosine from which two groups are merged.
        min_images: smaller groups are left alone.
        device: device of the products; twice the rows must fit into its memory.
    """
    roots, members, sizes = np.unique(average_linkage(rows, min_cosine, device), return_inverse=True,
                                      return_counts=True)
    order = np.lexsort((roots, -sizes))  # the largest first, and of equal ones that of the first image
    people = int((sizes >= min_images).sum())
    number = np.empty(len(roots), np.int64)
    number[order] = np.where(np.arange(len(roots)) < people, np.arange(len(roots)), -1)
    group = number[members]
    return Grouping(min_cosine, group, *_cosines(rows, group, people, device))


def _cosines(rows: Features, group: IntArray, people: int, device: torch.device | str
             ) -> tuple[Float32Array, IntArray, Float32Array]:
    """Return the mean cosine of each row to its own group, its next group, and the mean cosine to that one."""
    count = len(rows)
    own_cosine = np.full(count, np.nan, np.float32)
    next_group = np.full(count, -1)
    next_cosine = np.full(count, np.nan, np.float32)
    if not people:
        return own_cosine, next_group, next_cosine
    all_rows = torch.from_numpy(np.ascontiguousarray(rows, np.float32)).to(device)
    is_member = group >= 0
    index = torch.from_numpy(group[is_member]).to(device)
    sums = torch.zeros(people, rows.shape[1], device=device)
    sums.index_add_(0, index, all_rows[torch.from_numpy(is_member).to(device)])
    sizes = torch.bincount(index, minlength=people).float()
    means = sums / sizes[:, None]
    for start in range(0, count, TILE_ROWS):
        block = slice(start, start + TILE_ROWS)
        mean_cosines = all_rows[block] @ means.T
        members = np.flatnonzero(is_member[block])
        own = torch.from_numpy(group[block][members]).to(device)
        row = torch.from_numpy(members).to(device)
        # The group's mean contains the row itself, whose cosine to itself is 1.
        without_self = (mean_cosines[row, own] * sizes[own] - 1) / (sizes[own] - 1)
        own_cosine[start + members] = without_self.cpu().numpy()
        mean_cosines[row, own] = -torch.inf
        best, column = mean_cosines.max(1)
        has_next = torch.isfinite(best).cpu().numpy()
        next_group[block] = np.where(has_next, column.cpu().numpy(), -1)
        next_cosine[block] = np.where(has_next, best.cpu().numpy(), np.nan)
    return own_cosine, next_group, next_cosine


def compare_with_labels(group: IntArray, labels: IntArray) -> Agreement:
    """Compare groups with labels.

    Args:
        group: int64 [images], -1 for images alone.
        labels: int64 [images].
    """
    groups = np.where(group < 0, group.max(initial=-1) + 1 + np.arange(len(group)), group)
    (_, apart), (together, right) = pair_confusion_matrix(labels, groups).astype(np.float64)
    contingency = contingency_matrix(labels, groups, sparse=True)
    largest: FloatArray = contingency.max(axis=0).toarray()
    return Agreement(
        precision=float(right / max(right + apart, 1)),
        recall=float(right / max(right + together, 1)),
        purity=float(largest.sum() / len(labels)),
        adjusted_rand=float(adjusted_rand_score(labels, groups)),
    )
