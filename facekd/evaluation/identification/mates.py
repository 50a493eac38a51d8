"""The mates of every probe: the pairs whose ranks are asked for, and what is exact about a score."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from facekd.data.feature_set import Features
from facekd.errors import DataError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
CHUNK = 1024
"""Pairs of rows gathered at a time."""


def exact_scores(first: Features, rows: Ints, second: Features, columns: Ints) -> Floats:
    """The score of row i of one set and row j of another: their float64 dot product, always summed in the same order.

    Equal rows give equal scores, to the last bit, wherever they stand.

    Args:
        first: float32 [any, dimension].
        rows: int64 [pairs], which of ``first``.
        second: float32 [any, dimension].
        columns: int64 [pairs], which of ``second``.

    Returns:
        float64 [pairs].
    """
    scores = np.empty(len(rows))
    for start in range(0, len(rows), CHUNK):
        part = slice(start, start + CHUNK)
        a, b = first[rows[part]].astype(np.float64), second[columns[part]].astype(np.float64)
        scores[part] = np.einsum("ij,ij->i", a, b)
    return scores


def float32_scores(first: Features, rows: Ints, second: Features, columns: Ints) -> NDArray[np.float32]:
    """As `exact_scores`, in float32: within `rounding` of these."""
    scores = np.empty(len(rows), np.float32)
    for start in range(0, len(rows), CHUNK):
        part = slice(start, start + CHUNK)
        scores[part] = np.einsum("ij,ij->i", first.take(rows[part], axis=0), second.take(columns[part], axis=0))
    return scores


def rounding(dimension: int) -> float:
    """How far a float32 product of two unit rows can lie from `exact_scores`, whatever the order of its sums.

    n u / (1 - n u) with u = 2**-24 (Higham, Accuracy and Stability of Numerical Algorithms, 2002, eq. 3.5), and a
    little more, because unit rows are unit to 1e-5.
    """
    error = dimension * 2.0**-24
    return 1.0001 * error / (1 - error)


class Mates:
    """All ordered pairs (probe, mate) of images of one person, by probe and rising score.

    Args:
        probes: float32 [probes, dimension], rows of unit length.
        labels: int64 [probes].

    Raises:
        DataError: no person has two probes.

    Attributes:
        probes: as given.
        person: int64 [probes], people numbered by rising label.
        names: int64 [people], their labels.
        sizes: int64 [people], probes of each.
        probe: int64 [pairs], row of the probe, rising.
        mate: int64 [pairs], row of its mate.
        score: float64 [pairs], exact, rising within a probe.
    """

    def __init__(self, probes: Features, labels: Ints) -> None:
        self.probes = probes
        self.names, self.person, self.sizes = np.unique(labels, return_inverse=True, return_counts=True)
        if self.sizes.max() < 2:
            raise DataError(f"each of the {len(self.sizes)} people has one probe; at least one needs two or more")
        members = np.split(np.argsort(self.person, kind="stable"), np.cumsum(self.sizes)[:-1])
        probe, mate = np.concatenate([own[_ordered_pairs(len(own))] for own in members], axis=1)
        score = exact_scores(probes, probe, probes, mate)
        order = np.lexsort((mate, score, probe))
        self.probe, self.mate, self.score = probe[order], mate[order], score[order]

    @property
    def genuine(self) -> NDArray[np.bool_]:
        """Bool [pairs], one of the two orders of every pair: a genuine pair of the verification protocol."""
        return np.asarray(self.probe < self.mate)


def _ordered_pairs(count: int) -> Ints:
    """int64 [2, pairs], all ordered pairs of different members of a group."""
    return np.stack(np.nonzero(~np.eye(count, dtype=bool)))
