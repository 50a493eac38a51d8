"""Quantiles of the cosines of strangers and of the lengths of embeddings: what a package keeps to notice a change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facekd.evaluation.agreement.pairs import choose_pairs, similarities
from facekd.evaluation.types import IntArray
from facekd.utils.functional import l2_normalize_rows

COSINE_QUANTILES = ("0.01", "0.05", "0.25", "0.5", "0.75", "0.95", "0.99", "0.999")
LENGTH_QUANTILES = ("0.01", "0.05", "0.25", "0.5", "0.75", "0.95", "0.99")
MAX_PAIRS = 500_000
UNIT_SPREAD = 1e-3
"""Embeddings whose lengths spread less than this have no lengths of their own."""


@dataclass(frozen=True)
class Similarities:
    """What embeddings of some images look like.

    Attributes:
        images: number of images.
        pairs: number of pairs of images of different people.
        cosines: quantiles of their cosines, by level as text.
        lengths: quantiles of the lengths of the embeddings, which are shorter for poor images; empty if the model gives
            embeddings of unit length.
    """

    images: int
    pairs: int
    cosines: dict[str, float]
    lengths: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Return the fields for ``metadata.json``, key ``similarities``."""
        return asdict(self)


def measure_similarities(rows: NDArray[np.float32], people: IntArray | None = None) -> Similarities | None:
    """Compute the quantiles of embeddings.

    Args:
        rows: float32 [images, dimension], not normalized.
        people: int64 [images], the person in each image; None takes all pairs as different people.

    Returns:
        The quantiles; None without a pair of different people.
    """
    lengths = np.linalg.norm(rows, axis=1).astype(np.float64)
    pairs = choose_pairs(len(rows), MAX_PAIRS)
    cosines = similarities(l2_normalize_rows(rows), pairs)
    if people is not None:
        cosines = cosines[people[pairs.first] != people[pairs.second]]
    if not len(cosines):
        return None
    has_lengths = lengths.std() > UNIT_SPREAD * lengths.mean()
    return Similarities(len(rows), len(cosines), _quantiles(cosines, COSINE_QUANTILES),
                        _quantiles(lengths, LENGTH_QUANTILES) if has_lengths else {})


def describe_change(before: Mapping[str, Any], now: Similarities) -> list[str]:
    """Format how quantiles have changed, as lines for people.

    Args:
        before: the fields of `Similarities.to_dict` that a package keeps.
        now: the quantiles of new images.
    """
    lines = []
    for key, name, levels in (("cosines", "cosine of strangers", ("0.5", "0.99")),
                              ("lengths", "length of embeddings", ("0.05", "0.5"))):
        old, new = before[key], getattr(now, key)
        if old and new:
            changes = ", ".join(f"{float(level):.0%} quantile {old[level]:.3f} before, {new[level]:.3f} now"
                                for level in levels)
            lines.append(f"{name}: {changes} ({before['images']:,} and {now.images:,} images)")
    old, new = before["lengths"], now.lengths
    if old and new and new["0.5"] < old["0.05"]:
        lines.append("more than half of the new embeddings are shorter than 95 % of those of the export: the images "
                     "are poor (blurred, dark, badly aligned, or no faces); look at them first")
    return lines


def _quantiles(values: NDArray[np.float64], levels: Sequence[str]) -> dict[str, float]:
    return dict(zip(levels, np.quantile(values, [float(level) for level in levels]).tolist(), strict=True))
