"""Every probe against a gallery of identities: the rank of its mate, and the best score of any other identity."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from facekd.data.feature_set import BLOCK_ROWS, Features, FeatureSet, FeatureSubset
from facekd.errors import DataError
from facekd.evaluation.identification.mates import exact_scores, float32_error_bound
from facekd.evaluation.types import BoolArray, FloatArray, IntArray
from facekd.utils.progress import progress_bar

PROBES_PER_BLOCK = 1024
"""Probes multiplied with a block of the gallery at a time."""


@dataclass(frozen=True, eq=False)
class GalleryScores:
    """Ranks and scores of probes in one gallery.

    Attributes:
        labels: int64 [probes], the identity of each probe.
        mated: bool [probes], whether that identity is in the gallery.
        rank: int64 [probes], 1 + the number of other identities that score at least as high as the mate; 0 without a
            mate.
        mate_score: float64 [probes], the best score of a row of the same identity; minus infinity without a mate.
        non_mate_score: float64 [probes], the best score of a row of another identity; minus infinity without any.
        identities: number of identities in the gallery.
        rows: number of rows in the gallery.
    """

    labels: IntArray
    mated: BoolArray
    rank: IntArray
    mate_score: FloatArray
    non_mate_score: FloatArray
    identities: int
    rows: int


def rank_against_gallery(probes: FeatureSet, gallery: FeatureSet) -> GalleryScores:
    """Compare every probe with every identity of a gallery; an identity scores as high as the best of its rows.

    The gallery is read twice, a block at a time: once for the scores of the mates, once for those of the others.
    Products are float32; comparisons within their error are decided in float64, so that ranks are those of float64
    arithmetic and equal rows tie.

    Args:
        probes: the probes, with labels.
        gallery: the gallery, with labels; fastest if its rows are sorted by label.

    Raises:
        DataError: labels are missing, dimensions differ, or a feature is zero or not finite.
    """
    _check(probes, gallery)
    sorted_gallery = _SortedGallery(gallery)
    labels = np.asarray(probes.labels)
    mate_index = np.minimum(np.searchsorted(sorted_gallery.labels, labels), len(sorted_gallery.labels) - 1)
    mate_index[sorted_gallery.labels[mate_index] != labels] = -1
    mated = mate_index >= 0
    mate_score = np.full(len(labels), -np.inf)
    non_mate_score = np.full(len(labels), -np.inf)
    ahead = np.zeros(len(labels), np.int64)
    probe_blocks = [slice(start, min(start + PROBES_PER_BLOCK, len(labels)))
                    for start in range(0, len(labels), PROBES_PER_BLOCK)]
    with progress_bar("identify", 2 * len(gallery), "rows") as advance:
        for block in sorted_gallery.blocks():
            for chunk in probe_blocks:
                with_mate = block.probes_with_mate(mate_index[chunk])
                if len(with_mate):
                    rows = probes.l2_normalized_rows(chunk.start, chunk.stop)
                    mate_score[chunk.start + with_mate] = block.best_scores(
                        rows, with_mate, mate_index[chunk][with_mate])
            advance(len(block.rows), "")
        # No score reaches infinity: probes without a mate count no identity as ahead.
        score_to_reach = np.where(mated, mate_score, np.inf)
        for block in sorted_gallery.blocks():
            for chunk in probe_blocks:
                rows = probes.l2_normalized_rows(chunk.start, chunk.stop)
                block_ahead, non_mate_score[chunk] = block.count_ahead(
                    rows, mate_index[chunk], score_to_reach[chunk], non_mate_score[chunk])
                ahead[chunk] += block_ahead
            advance(len(block.rows), "")
    return GalleryScores(
        labels=labels,
        mated=mated,
        rank=np.where(mated, 1 + ahead, 0),
        mate_score=mate_score,
        non_mate_score=non_mate_score,
        identities=len(sorted_gallery.labels),
        rows=len(gallery),
    )


def _check(probes: FeatureSet, gallery: FeatureSet) -> None:
    for name, features in (("probes", probes), ("gallery", gallery)):
        if features.labels is None:
            raise DataError(f"the {name}, {features.path}, have no labels; label each row with its identity")
    if probes.dimension != gallery.dimension:
        raise DataError(f"{probes.path} has {probes.dimension} dimensions, {gallery.path} {gallery.dimension}; "
                        "use features of one model")


class _SortedGallery:
    """A gallery with its rows sorted by identity.

    Attributes:
        labels: int64 [identities], rising.
    """

    def __init__(self, gallery: FeatureSet) -> None:
        labels = np.asarray(gallery.labels)
        order = np.argsort(labels, kind="stable")
        self._features = gallery if np.array_equal(order, np.arange(len(order))) else FeatureSubset(gallery, order)
        self.labels, first_row = np.unique(labels[order], return_index=True)
        self._first_row = np.append(first_row, len(labels))

    def blocks(self) -> Iterator[_Block]:
        """Yield blocks of whole identities, of about `BLOCK_ROWS` rows."""
        starts = np.searchsorted(self._first_row, np.arange(0, self._first_row[-1], BLOCK_ROWS))
        edges = np.append(starts[starts < len(self.labels)], len(self.labels))
        for first, last in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
            if last > first:
                first_row = self._first_row[first : last + 1]
                rows = self._features.l2_normalized_rows(int(first_row[0]), int(first_row[-1]))
                yield _Block(first, last, rows, first_row - first_row[0])


@dataclass(frozen=True, eq=False)
class _Block:
    """Identities ``first`` to ``last`` of a gallery; rows ``first_row[i]`` to ``first_row[i + 1]`` are the i-th's."""

    first: int
    last: int
    rows: Features
    first_row: IntArray

    def probes_with_mate(self, mate_index: IntArray) -> IntArray:
        """Return the probes whose mate is in this block."""
        return np.flatnonzero((mate_index >= self.first) & (mate_index < self.last))

    def best_scores(self, probes: Features, probe: IntArray, identity: IntArray) -> FloatArray:
        """Compute the best score of each pair of a probe and an identity of this block, exactly: float64 [pairs].

        Args:
            probes: float32 [probes, dimension].
            probe: int64 [pairs], indices into ``probes``.
            identity: int64 [pairs], indices into the identities of the gallery.
        """
        if not len(probe):
            return np.empty(0)
        local = identity - self.first
        num_rows = self.first_row[local + 1] - self.first_row[local]
        # All rows of all pairs in one list; ``start`` is where the rows of a pair begin in it.
        start = np.cumsum(num_rows) - num_rows
        column = np.arange(int(num_rows.sum())) + np.repeat(self.first_row[local] - start, num_rows)
        scores = exact_scores(probes, np.repeat(probe, num_rows), self.rows, column)
        best: FloatArray = np.maximum.reduceat(scores, start)
        return best

    def count_ahead(self, probes: Features, mate_index: IntArray, mate_score: FloatArray,
                    non_mate_score: FloatArray) -> tuple[IntArray, FloatArray]:
        """Count the other identities of this block that score at least as high as each probe's mate.

        Args:
            probes: float32 [probes, dimension].
            mate_index: int64 [probes], the identity of the gallery that is the probe's mate, or -1.
            mate_score: float64 [probes], the exact score of the mate.
            non_mate_score: float64 [probes], the best score of any other identity so far.

        Returns:
            int64 [probes]; and ``non_mate_score``, updated with this block.
        """
        error = float32_error_bound(probes.shape[1]) + 1e-7  # the latter for rounding the limits below to float32
        scores = probes @ self.rows.T
        if len(self.first_row) <= len(self.rows):  # otherwise every identity has one row
            scores = np.maximum.reduceat(scores, self.first_row[:-1], axis=1)
        with_mate = self.probes_with_mate(mate_index)
        scores[with_mate, mate_index[with_mate] - self.first] = -np.inf
        certain = scores > (mate_score + error).astype(np.float32)[:, None]
        uncertain = (scores >= (mate_score - error).astype(np.float32)[:, None]) & ~certain
        probe, identity = np.nonzero(uncertain)
        is_ahead = self.best_scores(probes, probe, identity + self.first) >= mate_score[probe]
        ahead = certain.sum(axis=1) + np.bincount(probe[is_ahead], minlength=len(probes))
        return ahead, self._update_non_mate_score(probes, scores, non_mate_score, error)

    def _update_non_mate_score(self, probes: Features, scores: Features, non_mate_score: FloatArray,
                               error: float) -> FloatArray:
        best = scores.max(axis=1)
        # An identity can have the best exact score only if its float32 score is this close to the best one.
        lowest = np.maximum(best - 2 * error, non_mate_score - error).astype(np.float32)
        probe, identity = np.nonzero((scores >= lowest[:, None]) & np.isfinite(scores))
        updated = non_mate_score.copy()
        np.maximum.at(updated, probe, self.best_scores(probes, probe, identity + self.first))
        return updated
