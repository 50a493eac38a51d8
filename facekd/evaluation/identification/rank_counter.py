"""The number of distractors ahead of each mate: counted in float32, decided in float64 where float32 is uncertain.

A float32 score is within a known distance of the exact score (`float32_error_bound`). A distractor whose score is
farther than that from the score of the mate is ahead of it or not, whatever the arithmetic; the few others are computed
again in float64. So every rank is that of float64 arithmetic, at about the cost of float32.

Two kinds of mates are counted differently. Shallow mates have high scores, which few distractors reach: each of these
is looked up among the sorted mates of its probe. Deep mates (of a noisy image, for example) are behind thousands of
distractors: all scores of their probe are compared with them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from facekd.data.feature_set import Features
from facekd.evaluation.identification.mates import Mates, exact_scores, float32_error_bound, float32_scores
from facekd.evaluation.identification.score_bounds import ScoreBound, choose_score_bound
from facekd.evaluation.identification.score_tiles import ScoreTile, TiledProduct
from facekd.evaluation.types import Float32Array, FloatArray, Int32Array, IntArray

PROBE_OFFSET = 4.0
"""Distance between the key ranges of two probes; scores are in [-1, 1]."""
KEY_ROUNDING = 1e-9
"""Added to the error bound for the rounding of keys, float64 numbers up to PROBE_OFFSET times the number of probes."""


@dataclass(frozen=True, eq=False)
class BlockCounts:
    """The counts of one block of distractors.

    Attributes:
        insertion_counts: int64 [shallow mates + probes], number of scores by their insertion position among the sorted
            shallow mates of their probe; a probe with n of them has n + 1 positions.
        deep_counts: int64 [deep mates], distractors ahead of each.
        score: float32 [high scores], all scores of at least the score floor.
        probe: int32 [high scores], their probes.
        distractor: int32 [high scores], their distractors, counted from the first one of the block.
    """

    insertion_counts: IntArray
    deep_counts: IntArray
    score: Float32Array
    probe: Int32Array
    distractor: Int32Array


class RankCounter:
    """Counts the distractors ahead of every mate.

    Args:
        mates: the mates to rank.
        score_floor: all impostor scores of at least this are returned.
        deep_threshold: mates with a lower score are deep.

    Attributes:
        mates: the mates to rank.
        score_floor: as given.
        score_error: largest distance of a float32 score from the exact one, and of a key from the exact key.
        num_insertion_bins: length of the insertion counts.
        num_deep_mates: length of the deep counts.
    """

    def __init__(self, mates: Mates, score_floor: float, deep_threshold: float) -> None:
        self.mates = mates
        self.score_floor = score_floor
        self.score_error = float32_error_bound(mates.probes.shape[1]) + KEY_ROUNDING
        self._is_shallow = mates.score >= deep_threshold
        shallow = np.flatnonzero(self._is_shallow)
        deep = np.flatnonzero(~self._is_shallow)
        self.num_insertion_bins = len(shallow) + len(mates.probes)
        self.num_deep_mates = len(deep)
        self._shallow_score = mates.score[shallow]
        self._shallow_probe = mates.probe[shallow]
        # One sorted list serves the mates of all probes: each probe has its own range of keys.
        self._shallow_key = self._shallow_score + PROBE_OFFSET * self._shallow_probe
        self._deep_score = mates.score[deep]
        self._deep_probe = mates.probe[deep]
        self._deep_low = _next_float32_below(self._deep_score - self.score_error)
        self._deep_high = -_next_float32_below(-self._deep_score - self.score_error)
        # Lower scores are neither returned nor ahead of a shallow mate of their probe.
        self._probe_floor = np.full(len(mates.probes), score_floor, np.float32)
        lowest_needed = _next_float32_below(self._shallow_score - self.score_error)
        np.minimum.at(self._probe_floor, self._shallow_probe, lowest_needed)
        self._full_probes: IntArray = np.arange(len(mates.probes))
        self._bounded_probes: IntArray = np.empty(0, np.int64)
        self._bound: ScoreBound | None = None

    def use_score_bound(self, sample: Features) -> None:
        """Use score bounds for probes without deep mates if a sample of the distractors predicts that it saves time."""
        probes_with_deep_mates = np.unique(self._deep_probe)
        others = np.setdiff1d(self._full_probes, probes_with_deep_mates)
        self._bound = choose_score_bound(self.mates.probes[others], self._probe_floor[others], sample)
        if self._bound:
            self._full_probes = probes_with_deep_mates
            self._bounded_probes = others

    def create_products(self, device: torch.device) -> tuple[TiledProduct, TiledProduct | None]:
        """Create the products of one thread: that of full probes, and that of bounded ones."""
        bounded = TiledProduct(self._bound.probes, device) if self._bound else None
        return TiledProduct(self.mates.probes[self._full_probes], device), bounded

    def count_block(self, products: tuple[TiledProduct, TiledProduct | None], block: Features) -> BlockCounts:
        """Compare all probes with a block of distractors.

        Args:
            products: products of this thread, see `create_products`.
            block: float32 [distractors, dimension], rows of unit length.
        """
        full, bounded = products
        deep_counts = np.zeros(self.num_deep_mates, np.int64)
        high_scores = []
        for start, tile in full.tiles(block):
            probes = self._full_probes[start : start + len(tile)]
            rows, columns, scores = tile.scores_above(self._probe_floor[probes])
            high_scores.append((probes[rows], columns, scores))
            first, last = np.searchsorted(self._deep_probe, [probes[0], probes[-1] + 1])
            if last > first:
                deep_counts[first:last] = self._count_ahead_of_deep(tile, probes, slice(first, last), block)
        if bounded and self._bound:
            high_scores += self._scores_above_by_bounds(self._bound, bounded, block)
        probe, column, score = (np.concatenate(arrays) for arrays in zip(*high_scores, strict=True))
        bins = self._insertion_bins(probe, column, score, block)
        insertion_counts = np.bincount(bins, minlength=self.num_insertion_bins)
        returned = score >= self.score_floor
        return BlockCounts(insertion_counts, deep_counts, score[returned], probe[returned].astype(np.int32),
                           column[returned].astype(np.int32))

    def distractors_ahead(self, insertion_counts: IntArray, deep_counts: IntArray) -> IntArray:
        """Return the distractors ahead of each mate, int64 [pairs], from the counts summed over all blocks."""
        cumulative = np.cumsum(insertion_counts)
        # A score at position p of its probe is ahead of the mates before p. The bins of the mates of probe i are
        # shifted by i, because every earlier probe has one bin more than it has mates.
        last_bin = np.searchsorted(self._shallow_probe, self._shallow_probe, "right") + self._shallow_probe
        own_bin = np.arange(len(last_bin)) + self._shallow_probe
        ahead = np.empty(len(self.mates.score), np.int64)
        ahead[self._is_shallow] = cumulative[last_bin] - cumulative[own_bin]
        ahead[~self._is_shallow] = deep_counts
        return ahead

    def _scores_above_by_bounds(self, bound: ScoreBound, product: TiledProduct,
                                block: Features) -> Iterator[tuple[IntArray, IntArray, Float32Array]]:
        """Yield probes, columns and scores above the floors of bounded probes; only these scores are computed."""
        for start, tile in product.tiles(bound.project(block)):
            probes = self._bounded_probes[start : start + len(tile)]
            rows, columns, _ = tile.scores_above(_next_float32_below(self._probe_floor[probes] - bound.margin))
            probe = probes[rows]
            scores = float32_scores(self.mates.probes, probe, block, columns)
            high = scores >= self._probe_floor[probe]
            yield probe[high], columns[high], scores[high]

    def _insertion_bins(self, probe: IntArray, column: IntArray, score: Float32Array, block: Features) -> IntArray:
        """Return the bin of each score: the shallow mates of its and earlier probes that it is ahead of, plus probe."""
        if not len(self._shallow_key):
            return probe
        key = score + PROBE_OFFSET * probe
        lowest = key - self.score_error
        # Start from the highest position that the error allows. It is certain unless a mate is within the error; then
        # the exact score steps down past all mates that are above it.
        position = np.searchsorted(self._shallow_key, key + self.score_error, "right")
        uncertain = np.flatnonzero((position > 0) & (self._shallow_key[position - 1] > lowest))
        exact = exact_scores(self.mates.probes, probe[uncertain], block, column[uncertain])
        while len(uncertain):
            mate = position[uncertain] - 1
            steps_down = ((mate >= 0) & (self._shallow_key[mate] > lowest[uncertain])
                          & (self._shallow_score[mate] > exact))
            uncertain = uncertain[steps_down]
            exact = exact[steps_down]
            position[uncertain] -= 1
        return position + probe

    def _count_ahead_of_deep(self, tile: ScoreTile, probes: IntArray, pairs: slice, block: Features) -> IntArray:
        """Count the distractors ahead of the deep mates ``pairs`` of the probes of one tile."""
        rows = np.searchsorted(probes, self._deep_probe[pairs])
        mate_score = self._deep_score[pairs]
        # Scores of at least the high bound are certainly ahead; those between the bounds need the exact score.
        ahead, query, column = tile.compare_with_bounds(rows, self._deep_low[pairs], self._deep_high[pairs])
        exact = exact_scores(self.mates.probes, probes[rows[query]], block, column)
        ahead += np.bincount(query[exact >= mate_score[query]], minlength=len(ahead))
        return ahead


def _next_float32_below(values: FloatArray | Float32Array) -> Float32Array:
    """Round to the next lower float32 values: no float32 score that is above ``values`` is below these."""
    return np.asarray(np.nextafter(values.astype(np.float32), np.float32(-np.inf)))
