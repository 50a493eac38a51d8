"""1:N search: is the right person found in a gallery, and is nobody found who is not in it? (IJB; ISO/IEC 19795-1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facekd.data.feature_set import FeatureSet
from facekd.errors import DataError
from facekd.evaluation.identification.gallery import Floats, Ints, Searched, compare
from facekd.evaluation.statistics.bootstrap import Weights, bootstrap
from facekd.evaluation.statistics.far import Interval, allowed, percent
from facekd.evaluation.statistics.weighted_rates import shares

RANKS = (1, 5, 10)
CMC_RANKS = 100
FPIRS = ("1e-2", "1e-1")


@dataclass(frozen=True, eq=False)
class SearchResult:
    """What `search` found; rates are fractions, intervals are 95 % bootstrap intervals over the probes' people.

    Attributes:
        rank: share of the probes with a mate whose mate is at rank 1, 5, 10 or better (closed set).
        rank_interval: of each ``rank``.
        cmc: the same at rank 1, 2, ... 100 or better.
        tpir: share of the probes with a mate whose mate is at rank 1 and above the threshold at which the false
            positive identification rate is so high: the share of the probes without a mate who find somebody above it
            (open set). None where there are too few such probes.
        tpir_interval: of each ``tpir``.
        thresholds: the threshold behind each ``tpir``; None for a mean of several galleries.
        mated: number of probes with a mate.
        unmated: number of probes without a mate.
        people: number of people among the probes.
        gallery: number of people in the gallery.
        galleries: number of galleries these are the mean rates of; numbers of probes and people are sums.
        notes: sentences a reader of the figures needs.
    """

    rank: dict[int, float]
    rank_interval: dict[int, Interval]
    cmc: tuple[float, ...]
    tpir: dict[str, float | None]
    tpir_interval: dict[str, Interval | None]
    thresholds: dict[str, float | None]
    mated: int
    unmated: int
    people: int
    gallery: int
    galleries: int
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The fields of the JSON file."""
        return {
            "rank": {str(rank): rate for rank, rate in self.rank.items()},
            "rank_interval": {str(rank): list(ends) for rank, ends in self.rank_interval.items()},
            "cmc": list(self.cmc),
            "tpir": self.tpir,
            "tpir_interval": {rate: None if ends is None else list(ends) for rate, ends in self.tpir_interval.items()},
            "thresholds": self.thresholds,
            "mated": self.mated, "unmated": self.unmated,
            "people": self.people, "gallery": self.gallery, "galleries": self.galleries,
            "notes": list(self.notes),
        }

    def describe(self) -> str:
        """The result as lines to read."""
        found = ", ".join(f"rank-{rank} {percent(rate, self.rank_interval[rank])}" for rank, rate in self.rank.items())
        where = "the gallery" if self.galleries == 1 else f"{self.galleries} galleries"
        return "\n".join([
            f"{found}\n{self.mated:,} probes with a mate, {self.unmated:,} without, {self.gallery:,} people in {where}",
            *[f"TPIR {percent(rate, self.tpir_interval[fpir])} at FPIR {fpir}"
              for fpir, rate in self.tpir.items() if rate is not None],
            *self.notes,
        ])


def search(probes: FeatureSet, gallery: FeatureSet, fpirs: Sequence[str] = FPIRS, resamples: int = 1000,
           seed: int = 0) -> SearchResult:
    """Search every probe in a gallery.

    A probe's rank is one more than the number of other people in the gallery who score at least as high as its mate
    (one with the mate's very score is ahead of it); a person scores as high as the best of that person's rows. Probes
    whose person is not in the gallery have no rank: they are the impostors of the open set, each with its highest
    score; at most floor(FPIR * such probes) of them may be above the threshold. Intervals resample people, with all
    their probes.

    Args:
        probes: with labels.
        gallery: with labels.
        fpirs: false positive identification rates as text, e.g. ``"1e-2"``; they are the keys of the result.
        resamples: bootstrap resamples.
        seed: of the bootstrap.

    Raises:
        DataError: labels are missing, dimensions differ, a feature is zero or not finite, or no probe has a mate.
    """
    return summarise([compare(probes, gallery)], fpirs, resamples, seed)


def summarise(searched: Sequence[Searched], fpirs: Sequence[str] = FPIRS, resamples: int = 1000,
              seed: int = 0) -> SearchResult:
    """The rates of one search, or the mean of each rate over searches of the same probes in several galleries.

    Args:
        searched: of the same probes, in one order.
        fpirs: see `search`.
        resamples: of the bootstrap.
        seed: of the bootstrap.

    Raises:
        DataError: no probe has a mate in one of the galleries.
    """
    names, person = np.unique(searched[0].labels, return_inverse=True)
    parts = [_Rates(one, person, len(names)) for one in searched]
    unmated = min(part.unmated for part in parts)
    usable = [fpir for fpir in fpirs if allowed(fpir, unmated) >= 1]
    notes = [f"TPIR at FPIR {fpir} is not given: {unmated:,} probes without a mate allow less than one false positive"
             for fpir in fpirs if fpir not in usable]
    # So that every resample has as many people with a mate in each gallery as there are.
    strata = sum((1 << place) * (part.hits[:, -1] > 0) for place, part in enumerate(parts))

    def figures(weights: Weights) -> Floats:
        ranks = np.mean([part.ranks(weights) for part in parts], axis=0)
        tpirs = [np.mean([part.tpirs(row, usable) for part in parts], axis=0) for row in weights]
        return np.column_stack([ranks[:, [rank - 1 for rank in RANKS]], np.stack(tpirs)])

    once = np.ones((1, len(names)), np.int32)
    values = figures(once)[0].tolist()
    ends = [(low, high) for low, high in bootstrap(figures, np.asarray(strata, np.int64), resamples, seed).tolist()]
    tpir = dict(zip(usable, values[len(RANKS) :], strict=True))
    intervals = dict(zip(usable, ends[len(RANKS) :], strict=True))
    thresholds = dict(zip(usable, parts[0].thresholds(usable), strict=True)) if len(parts) == 1 else {}
    return SearchResult(
        rank=dict(zip(RANKS, values, strict=False)), rank_interval=dict(zip(RANKS, ends, strict=False)),
        cmc=tuple(np.mean([part.ranks(once)[0] for part in parts], axis=0).tolist()),
        tpir={fpir: tpir.get(fpir) for fpir in fpirs}, tpir_interval={fpir: intervals.get(fpir) for fpir in fpirs},
        thresholds={fpir: thresholds.get(fpir) for fpir in fpirs}, mated=sum(part.mated for part in parts),
        unmated=sum(part.unmated for part in parts), people=len(names), gallery=sum(one.people for one in searched),
        galleries=len(parts), notes=tuple(notes),
    )


class _Rates:
    """The rates of one search, with its people counted as often as a resample holds them.

    Args:
        searched: the search.
        person: int64 [probes], who each probe shows, numbered from 0.
        people: number of people among the probes.

    Raises:
        DataError: no probe has a mate.

    Attributes:
        hits: int64 [people, 101], probes whose mate is at rank 1, 2, ... 100 or better, and all probes with a mate.
        mated: number of probes with a mate.
        unmated: number of probes without.
    """

    def __init__(self, searched: Searched, person: Ints, people: int) -> None:
        mated = searched.mated
        self.mated, self.unmated = int(mated.sum()), int((~mated).sum())
        if not self.mated:
            raise DataError(f"none of the {len(mated)} probes shows a person of the gallery; label both in one way")
        place = person[mated] * (CMC_RANKS + 1) + np.minimum(searched.rank[mated] - 1, CMC_RANKS)
        counts = np.bincount(place, minlength=people * (CMC_RANKS + 1)).reshape(people, CMC_RANKS + 1)
        self.hits = counts.cumsum(axis=1)
        scores = np.where(searched.rank == 1, searched.mate, -np.inf)
        self._genuine, self._owner = _falling(scores[mated], person[mated])
        self._impostors, self._other = _falling(searched.highest[~mated], person[~mated])

    def ranks(self, weights: Weights) -> Floats:
        """The CMC, float64 [batch, 100], with people counted ``weights`` [batch, people] times."""
        hits = weights.astype(np.float64) @ self.hits
        rates: Floats = hits[:, :-1] / hits[:, -1:]
        return rates

    def tpirs(self, weights: NDArray[np.int32], fpirs: Sequence[str]) -> Floats:
        """TPIR at each FPIR, float64 [fpirs], with people counted ``weights`` [people] times."""
        counts = weights[self._other]
        total = np.array(counts.sum(dtype=np.int64))
        limits = np.array([allowed(fpir, total) for fpir in fpirs], np.int64)
        return shares(self._genuine, weights[self._owner], self._impostors, counts, limits)

    def thresholds(self, fpirs: Sequence[str]) -> list[float]:
        """The threshold at each FPIR."""
        return [float(self._impostors[allowed(fpir, self.unmated)]) for fpir in fpirs]


def _falling(scores: Floats, owner: Ints) -> tuple[Floats, Ints]:
    order = np.argsort(-scores, kind="stable")
    return scores[order], owner[order]
