"""Pairs of images, their similarities by two models, and the rank correlation of these similarities."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facekd.evaluation.types import Float32Array, FloatArray, Int32Array, IntArray

BLOCK_PAIRS = 1 << 14
"""Pairs whose embeddings are gathered at a time; it bounds the memory."""


@dataclass(frozen=True, eq=False)
class ImagePairs:
    """Pairs of different images.

    Attributes:
        first: int64 [pairs], index of the first image.
        second: int64 [pairs], index of the second image, above ``first``.
        complete: whether these are all pairs of the images.
    """

    first: IntArray
    second: IntArray
    complete: bool

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.first)


def choose_pairs(images: int, limit: int, seed: int = 0) -> ImagePairs:
    """Return all pairs of images, or a random sample of them without repetition.

    Args:
        images: number of images, 2 or more.
        limit: the largest number of pairs.
        seed: seed of the sample.
    """
    total = images * (images - 1) // 2
    if total <= limit:
        first, second = np.triu_indices(images, 1)
        return ImagePairs(first.astype(np.int64), second.astype(np.int64), True)
    generator = np.random.default_rng(seed)
    codes = np.empty(0, np.int64)  # first * images + second
    while len(codes) < limit:
        drawn = generator.integers(0, images, (2 * (limit - len(codes)) + 16, 2))
        low, high = drawn.min(axis=1), drawn.max(axis=1)
        codes = np.unique(np.concatenate([codes, (low * images + high)[low < high]]))
    codes = np.sort(generator.permutation(codes)[:limit])
    return ImagePairs(codes // images, codes % images, False)


def similarities(features: Float32Array, pairs: ImagePairs) -> FloatArray:
    """Compute the cosine of each pair, float64 [pairs].

    Args:
        features: float32 [images, dimension], rows of unit length.
        pairs: the pairs.
    """
    cosines = np.empty(len(pairs), np.float64)
    for start in range(0, len(pairs), BLOCK_PAIRS):
        block = slice(start, start + BLOCK_PAIRS)
        rows = features[pairs.first[block]].astype(np.float64)
        cosines[block] = np.einsum("ij,ij->i", rows, features[pairs.second[block]])
    return cosines


class RankCorrelation:
    """Spearman's rank correlation of two rows of values, also where every item counts several times.

    Args:
        first: float64 [items].
        second: float64 [items].

    Attributes:
        shift: float64 [items], difference of the relative ranks, (rank in second - rank in first) / items.
    """

    def __init__(self, first: FloatArray, second: FloatArray) -> None:
        self._levels = [np.unique(values, return_inverse=True)[1] for values in (first, second)]
        ones = np.ones(len(first), np.int32)
        ranks = [_middle_ranks(levels, ones) for levels in self._levels]
        self.shift: FloatArray = (ranks[1] - ranks[0]) / len(first)

    def __call__(self, weights: Int32Array | None = None) -> float:
        """Compute the correlation; 0 if the values of a row are all equal.

        Args:
            weights: int32 [items], how often each item counts; None for once. Equal values share their mean rank.
        """
        counts = np.ones(len(self.shift), np.int32) if weights is None else weights
        total = max(counts.sum(dtype=np.float64), 1.0)
        centered = []
        for levels in self._levels:
            ranks = _middle_ranks(levels, counts)
            centered.append(ranks - (counts @ ranks) / total)
        covariance = float((counts * centered[0]) @ centered[1])
        spread = float((counts * centered[0]) @ centered[0]) * float((counts * centered[1]) @ centered[1])
        return covariance / spread**0.5 if spread > 0 else 0.0


def _middle_ranks(levels: NDArray[np.int64], counts: Int32Array) -> FloatArray:
    """Return the mean rank of each item among items that count several times, float64 [items]."""
    level_counts = np.bincount(levels, counts)
    return np.asarray((np.cumsum(level_counts) - level_counts / 2)[levels], np.float64)
