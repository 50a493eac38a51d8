"""How many distractors are ahead of each mate: counted in float32, decided in float64 where float32 cannot tell.

A float32 product lies within a known distance of the exact score (`rounding`). A score further than that from a mate's
is ahead of it or not, whatever the arithmetic; the few others are computed again in float64. So every rank is that of
float64 arithmetic, at the price of float32.

Two kinds of mates are counted differently. Where few scores reach the lowest mate of a probe, those few are looked up
among its mates. A deep mate (of a noisy image, say) lies behind thousands of distractors: all scores of its probe are
compared with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from facekd.data.feature_set import Features
from facekd.evaluation.identification.mates import Floats, Ints, Mates, exact_scores, float32_scores, rounding
from facekd.evaluation.identification.score_bounds import Bound, choose_bound
from facekd.evaluation.identification.score_tiles import Product, Singles, Tile

ROW = 4.0
"""Distance between probes on one scale of scores, which lie in [-1, 1]."""
SLACK = 1e-9
"""Added to the rounding: places on that scale are float64 numbers up to ROW times the probes."""
LOOKED_UP, COMPARED = 60.0, 0.9
"""Nanoseconds: to look a score up among the mates, and to compare a score with a deep mate (measured on Zen 3)."""
JUDGED = 4_000_000
"""Scores that levels are judged by, about."""
SHARES = (0.001, 0.003, 0.01, 0.02, 0.04, 0.08, 0.15, 0.3, 0.5)
"""Of all scores that may lie above the lowest mate that is not deep."""


@dataclass(frozen=True, eq=False)
class Found:
    """What a block of distractors holds.

    Attributes:
        places: int64 [mates looked up + probes], scores by the place they have among the mates of their probe.
        deep: int64 [deep mates], distractors ahead of each.
        score: float32 [kept], all scores of at least the level.
        probe: int32 [kept], their probes.
        distractor: int32 [kept], their distractors, counted from the block's first.
    """

    places: Ints
    deep: Ints
    score: Singles
    probe: NDArray[np.int32]
    distractor: NDArray[np.int32]


class Counter:
    """Counts the distractors ahead of every mate.

    Args:
        mates: whose ranks are asked for.
        level: all scores of at least so much are given out.
        depth: mates that score less are deep.
    """

    def __init__(self, mates: Mates, level: float, depth: float) -> None:
        self.mates, self.level = mates, level
        self.error = rounding(mates.probes.shape[1]) + SLACK
        self._is_high = mates.score >= depth
        high, deep = np.flatnonzero(self._is_high), np.flatnonzero(~self._is_high)
        self._levels = np.full(len(mates.probes), level, np.float32)
        lowest = _downwards(mates.score[high] - self.error)
        np.minimum.at(self._levels, mates.probe[high], lowest)
        self._scale = mates.score[high] + ROW * mates.probe[high]
        self._high_score, self._high_probe = mates.score[high], mates.probe[high]
        self._deep_score, self._deep_probe = mates.score[deep], mates.probe[deep]
        self._low = _downwards(self._deep_score - self.error)
        self._high = -_downwards(-self._deep_score - self.error)
        self.places, self.deep = len(high) + len(mates.probes), len(deep)
        self._full, self._bounded = np.arange(len(mates.probes)), np.empty(0, np.int64)
        self._bound: Bound | None = None

    def bound(self, sample: Features) -> None:
        """Bound the scores of probes without deep mates, where a sample of the distractors says that it saves time."""
        deep = np.unique(self._deep_probe)
        rest = np.setdiff1d(self._full, deep)
        self._bound = choose_bound(self.mates.probes[rest], self._levels[rest], sample)
        if self._bound:
            self._full, self._bounded = deep, rest

    def products(self, device: torch.device) -> tuple[Product, Product | None]:
        """What a thread multiplies with: the probes in full, and those that are bounded."""
        short = Product(self._bound.probes, device) if self._bound else None
        return Product(self.mates.probes[self._full], device), short

    def count(self, products: tuple[Product, Product | None], block: Features) -> Found:
        """Compare all probes with a block of distractors.

        Args:
            products: one thread's own, see ``products``.
            block: float32 [distractors, dimension], rows of unit length.
        """
        full, short = products
        deep = np.zeros(self.deep, np.int64)
        found = []
        for start, tile in full.tiles(block):
            own = self._full[start : start + len(tile)]
            rows, columns, scores = tile.above(self._levels[own])
            found.append((own[rows], columns, scores))
            first, last = np.searchsorted(self._deep_probe, [own[0], own[-1] + 1])
            if last > first:
                deep[first:last] = self._ahead_of_deep(tile, own, slice(first, last), block)
        if short and self._bound:
            found += self._above_bounded(self._bound, short, block)
        probe, column, score = (np.concatenate(parts) for parts in zip(*found, strict=True))
        places = np.bincount(self._places(probe, column, score, block) + probe, minlength=self.places)
        kept = score >= self.level
        return Found(places, deep, score[kept], probe[kept].astype(np.int32), column[kept].astype(np.int32))

    def ahead(self, places: Ints, deep: Ints) -> Ints:
        """Distractors ahead of each mate, int64 [pairs], of the sums of ``places`` and ``deep`` over all blocks."""
        up_to = np.cumsum(places)
        end = np.searchsorted(self._high_probe, self._high_probe, "right") + self._high_probe
        ahead = np.empty(len(self.mates.score), np.int64)
        # A score at place p of its probe is ahead of the mates before p; the next probe's places follow behind.
        ahead[self._is_high] = up_to[end] - up_to[np.arange(len(end)) + self._high_probe]
        ahead[~self._is_high] = deep
        return ahead

    def _above_bounded(self, bound: Bound, product: Product, block: Features) -> Iterator[tuple[Ints, Ints, Singles]]:
        for start, tile in product.tiles(bound.short(block)):
            own = self._bounded[start : start + len(tile)]
            rows, columns, _ = tile.above(_downwards(self._levels[own] - bound.slack))
            probe = own[rows]
            scores = float32_scores(self.mates.probes, probe, block, columns)
            high = scores >= self._levels[probe]
            yield probe[high], columns[high], scores[high]

    def _places(self, probe: Ints, column: Ints, score: Singles, block: Features) -> Ints:
        """The number of mates looked up, of this and earlier probes, that each score is not behind of."""
        if not len(self._scale):
            return np.zeros(len(probe), np.int64)
        key = score + ROW * probe
        place = np.searchsorted(self._scale, key + self.error, "right")
        lowest = key - self.error
        doubtful = np.flatnonzero((place > 0) & (self._scale[place - 1] > lowest))
        exact = exact_scores(self.mates.probes, probe[doubtful], block, column[doubtful])
        while len(doubtful):
            before = place[doubtful] - 1
            down = (before >= 0) & (self._scale[before] > lowest[doubtful]) & (self._high_score[before] > exact)
            doubtful, exact = doubtful[down], exact[down]
            place[doubtful] -= 1
        return place

    def _ahead_of_deep(self, tile: Tile, own: Ints, pairs: slice, block: Features) -> Ints:
        """Distractors ahead of the deep mates of one tile's probes, which are ``own``."""
        rows, score = np.searchsorted(own, self._deep_probe[pairs]), self._deep_score[pairs]
        low, high = self._low[pairs], self._high[pairs]
        ahead, position, column = tile.compare(rows, low, high)
        exact = exact_scores(self.mates.probes, own[rows[position]], block, column)
        ahead += np.bincount(position[exact >= score[position]], minlength=len(ahead))
        return ahead


def levels_of(mates: Mates, sample: Features, share: float) -> tuple[float, float]:
    """The level and the depth at which counting costs least, judged by a sample of the distractors.

    Args:
        mates: to be counted for.
        sample: float32 [distractors, dimension].
        share: about this share of all scores is to reach the level.
    """
    scores = (mates.probes @ sample[:: 1 + len(mates.probes) * len(sample) // JUDGED].T).ravel()
    shares = np.array(sorted({share, *SHARES}))
    places = np.maximum(0, len(scores) - 1 - (shares * len(scores)).astype(np.int64))
    scores.partition(np.unique(places))
    depths = scores[places].astype(np.float64)
    level = float(depths[np.searchsorted(shares, share)])
    costs = []
    for depth in depths:
        looked_up = mates.score >= depth
        lowest = np.full(len(mates.probes), level)
        np.minimum.at(lowest, mates.probe[looked_up], mates.score[looked_up])
        reached = np.interp(lowest, depths[::-1], shares[::-1]).mean()
        costs.append(LOOKED_UP * reached + COMPARED * (~looked_up).sum() / len(lowest))
    return level, float(depths[np.argmin(costs)])


def _downwards(values: Floats) -> Singles:
    """The float32 values next below: compared with these, float32 scores lose nothing that lies above ``values``."""
    return np.asarray(np.nextafter(values.astype(np.float32), np.float32(-np.inf)))
