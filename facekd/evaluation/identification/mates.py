"""Exact scores of pairs of rows, and the mates of every probe: the pairs whose ranks are measured."""

from __future__ import annotations

import numpy as np

from facekd.data.feature_set import Features
from facekd.errors import DataError
from facekd.evaluation.types import BoolArray, Float32Array, FloatArray, IntArray

PAIRS_PER_CHUNK = 1024
"""Pairs of rows copied at a time, so that the copies stay in a core's caches."""


def exact_scores(first: Features, rows: IntArray, second: Features, columns: IntArray) -> FloatArray:
    """Compute the float64 dot product of row i of one set and row j of another, always summed in the same order.

    Equal rows have equal scores, to the last bit, whatever their positions.

    Args:
        first: float32 [any, dimension].
        rows: int64 [pairs], indices into ``first``.
        second: float32 [any, dimension].
        columns: int64 [pairs], indices into ``second``.

    Returns:
        float64 [pairs].
    """
    scores = np.empty(len(rows))
    for start in range(0, len(rows), PAIRS_PER_CHUNK):
        chunk = slice(start, start + PAIRS_PER_CHUNK)
        left = first[rows[chunk]].astype(np.float64)
        right = second[columns[chunk]].astype(np.float64)
        # einsum sums every row by itself; the order of a matrix product's sums depends on the position in the matrix.
        scores[chunk] = np.einsum("ij,ij->i", left, right)
    return scores


def float32_scores(first: Features, rows: IntArray, second: Features, columns: IntArray) -> Float32Array:
    """Compute the scores of `exact_scores` in float32, within `float32_error_bound` of them."""
    scores = np.empty(len(rows), np.float32)
    for start in range(0, len(rows), PAIRS_PER_CHUNK):
        chunk = slice(start, start + PAIRS_PER_CHUNK)
        left = first.take(rows[chunk], axis=0)
        right = second.take(columns[chunk], axis=0)
        scores[chunk] = np.einsum("ij,ij->i", left, right)
    return scores


def float32_error_bound(dimension: int) -> float:
    """Return the largest distance of a float32 product of two unit rows from `exact_scores`, in any order of the sums.

    It is n u / (1 - n u) with u = 2**-24 (Higham, Accuracy and Stability of Numerical Algorithms, 2002, eq. 3.5), and
    a little more, because unit rows have unit length only to 1e-5.
    """
    error = dimension * 2.0**-24
    return 1.0001 * error / (1 - error)


class Mates:
    """All ordered pairs (probe, mate) of images of one identity, by probe and rising score.

    Args:
        probes: float32 [probes, dimension], rows of unit length.
        labels: int64 [probes].
        mate_rows: float32 [probes, dimension], rows of unit length: the same images as they are enrolled, by another
            model; by default ``probes``.

    Raises:
        DataError: no identity has two probes.

    Attributes:
        probes: float32 [probes, dimension], as given.
        mate_rows: float32 [probes, dimension], as given.
        identity: int64 [probes], identities numbered by rising label.
        labels: int64 [identities], label of each identity.
        sizes: int64 [identities], number of probes of each identity.
        probe: int64 [pairs], row of the probe, rising.
        mate: int64 [pairs], row of its mate.
        score: float64 [pairs], exact, rising within a probe.
    """

    def __init__(self, probes: Features, labels: IntArray, mate_rows: Features | None = None) -> None:
        self.probes = probes
        self.mate_rows = probes if mate_rows is None else mate_rows
        self.labels, self.identity, self.sizes = np.unique(labels, return_inverse=True, return_counts=True)
        if self.sizes.max() < 2:
            raise DataError(f"each of the {len(self.sizes)} people has one probe; at least one needs two or more")
        members = np.split(np.argsort(self.identity, kind="stable"), np.cumsum(self.sizes)[:-1])
        probe, mate = np.concatenate([rows[_ordered_pairs(len(rows))] for rows in members], axis=1)
        score = exact_scores(probes, probe, self.mate_rows, mate)
        order = np.lexsort((mate, score, probe))
        self.probe: IntArray = probe[order]
        self.mate: IntArray = mate[order]
        self.score = score[order]

    @property
    def genuine(self) -> BoolArray:
        """Return bool [pairs], one of the two orders of every pair: the genuine pairs of the verification protocol.

        With ``mate_rows`` of another model the two orders score differently; the probe is the image with the lower row.
        """
        return np.asarray(self.probe < self.mate)


def _ordered_pairs(count: int) -> IntArray:
    """Return int64 [2, pairs], all ordered pairs of different members of a group."""
    return np.stack(np.nonzero(~np.eye(count, dtype=bool)))
