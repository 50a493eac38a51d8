"""Verification of templates: TAR at FAR over ten million pairs (IJB 1:1; Whitelam et al. 2017, Maze et al. 2018)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facekd.data.feature_set import FeatureSet
from facekd.data.ijb.protocol import UNKNOWN, TemplatePairs
from facekd.errors import DataError
from facekd.evaluation.ijb.pooling import pair_scores
from facekd.evaluation.statistics.bootstrap import Weights, bootstrap
from facekd.evaluation.statistics.far import Interval, allowed, measurable, tar_lines
from facekd.evaluation.statistics.weighted_rates import shares
from facekd.utils.progress import progress

FARS = ("1e-6", "1e-5", "1e-4", "1e-3", "1e-2", "1e-1")
KEPT = 1 << 20
"""The highest impostor scores looked at in every resample, at least."""
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class TemplatePairsResult:
    """What `verify_templates` found; rates are fractions, intervals are 95 % bootstrap intervals over people.

    Attributes:
        tar: true accept rate at each false accept rate; None where there are too few impostor pairs.
        tar_interval: of each ``tar``.
        thresholds: the threshold behind each ``tar``: a pair is accepted when its score is above it.
        genuine: number of genuine pairs.
        impostors: number of impostor pairs.
        templates: number of templates in the pairs.
        people: number of people that were resampled.
        notes: sentences a reader of the figures needs.
    """

    tar: dict[str, float | None]
    tar_interval: dict[str, Interval | None]
    thresholds: dict[str, float | None]
    genuine: int
    impostors: int
    templates: int
    people: int
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The fields of the JSON file."""
        return {
            "tar": self.tar,
            "tar_interval": {far: None if ends is None else list(ends) for far, ends in self.tar_interval.items()},
            "thresholds": self.thresholds,
            "genuine": self.genuine,
            "impostors": self.impostors,
            "templates": self.templates,
            "people": self.people,
            "notes": list(self.notes),
        }

    def describe(self) -> str:
        """The result as lines to read."""
        return "\n".join([
            f"{self.genuine:,} genuine and {self.impostors:,} impostor pairs of {self.templates:,} templates of "
            f"{self.people:,} people",
            *tar_lines(self.tar, self.tar_interval), *self.notes,
        ])


def verify_templates(templates: FeatureSet, pairs: TemplatePairs, fars: Sequence[str] = FARS, resamples: int = 1000,
                     seed: int = 0) -> TemplatePairsResult:
    """Measure how well the similarity of two templates tells whether they show one person.

    TAR at a FAR is the largest true accept rate of any threshold that accepts at most floor(FAR * impostors) impostor
    pairs, counted exactly on float32 scores. Intervals resample people: a person drawn twice brings each genuine pair
    twice, and an impostor pair with a person drawn three times counts six times. The templates' labels say who they
    show; where some are `UNKNOWN`, templates joined by genuine pairs are one person, and a note says so.

    Args:
        templates: a row a template, labelled with its subject.
        pairs: which are compared.
        fars: false accept rates as text, e.g. ``"1e-4"``; they are the keys of the result.
        resamples: bootstrap resamples.
        seed: of the bootstrap.

    Raises:
        DataError: one of the two kinds of pairs is absent, or a template is zero or not finite.
    """
    genuine = int(pairs.same.sum())
    count = len(pairs.same) - genuine
    if not genuine or not count:
        raise DataError(f"{pairs.source} holds {genuine} genuine and {count} impostor pairs; both are needed")
    usable, notes = measurable(fars, count)
    people = _people(templates, pairs, notes)
    limits = [allowed(far, count) for far in usable]
    ranked = _Ranked(pair_scores(templates.all(), pairs.first, pairs.second), pairs, people, max([0, *limits]))
    with progress("resample", resamples, "resamples") as advance:

        def figures(weights: Weights) -> Floats:
            rates = np.stack([ranked.tar(row, usable) for row in weights])
            advance(len(weights), "")
            return rates

        drawn = bootstrap(figures, ranked.strata, resamples, seed) if usable else np.empty((0, 2))
    tar = dict(zip(usable, ranked.tar(np.ones(len(ranked.strata), np.int32), usable).tolist(), strict=True))
    intervals = dict(zip(usable, [(low, high) for low, high in drawn.tolist()], strict=True))
    thresholds = dict(zip(usable, ranked.impostors[limits].tolist(), strict=True))
    return TemplatePairsResult(
        tar={far: tar.get(far) for far in fars}, tar_interval={far: intervals.get(far) for far in fars},
        thresholds={far: thresholds.get(far) for far in fars}, genuine=genuine, impostors=count,
        templates=len(np.union1d(pairs.first, pairs.second)), people=int((ranked.strata > 0).sum()), notes=tuple(notes),
    )


class _Ranked:
    """Pairs by falling score: the genuine ones, and as many impostors as thresholds are looked for among.

    Args:
        scores: float32 [pairs].
        pairs: the pairs.
        people: int64 [templates], whom each template shows, numbered from 0.
        limit: the largest number of impostor pairs that may be accepted.

    Attributes:
        impostors: float32 [kept], the highest scores of impostor pairs.
        strata: int64 [people], 2 for people with genuine pairs, 1 for others, 0 for those without any pair.
    """

    def __init__(self, scores: NDArray[np.float32], pairs: TemplatePairs, people: Ints, limit: int) -> None:
        genuine = np.flatnonzero(pairs.same)
        genuine = genuine[np.argsort(-scores[genuine], kind="stable")]
        every = np.flatnonzero(~pairs.same)
        high = _highest(scores, every, max(KEPT, 2 * limit + 1))
        self._genuine, self.impostors = scores[genuine], scores[high]
        self._owner = people[pairs.first[genuine]]
        self._one, self._other = people[pairs.first[high]], people[pairs.second[high]]
        self._lower = len(every) - len(high)
        size = int(people.max()) + 1
        first, second = (np.bincount(people[side[every]], minlength=size) for side in (pairs.first, pairs.second))
        one, other = (np.bincount(side, minlength=size) for side in (self._one, self._other))
        self._lower_of = first + second - one - other
        self.strata = (first + second > 0).astype(np.int64)
        self.strata[self._owner] = 2

    def tar(self, weights: NDArray[np.int32], fars: Sequence[str]) -> Floats:
        """True accept rate at each rate, float64 [fars], with people counted ``weights`` [people] times."""
        counts = weights.astype(np.uint16)
        high = counts[self._one] * counts[self._other]
        # Of the pairs further down only the number is needed: to first order in the weights; exact if there are none.
        lower = self._lower + int((weights - 1) @ self._lower_of)
        total = np.array(high.sum(dtype=np.int64) + max(0, lower))
        limits = np.array([allowed(far, total) for far in fars], np.int64)
        return shares(self._genuine, weights[self._owner], self.impostors, high, limits)


def _highest(scores: NDArray[np.float32], among: Ints, kept: int) -> Ints:
    """The pairs with the highest scores, falling: ``kept`` of them (and ties), or all."""
    if len(among) > kept:
        own = scores[among]
        last = len(among) - kept
        among = among[own >= np.partition(own, last)[last]]
    return among[np.argsort(-scores[among], kind="stable")]


def _people(templates: FeatureSet, pairs: TemplatePairs, notes: list[str]) -> Ints:
    """Whom each template shows, int64 [templates], numbered from 0."""
    labels = templates.labels
    used = np.union1d(pairs.first, pairs.second)
    if labels is not None and not (labels[used] == UNKNOWN).any():
        people = np.unique(labels, return_inverse=True)[1]
        wrong = int(((people[pairs.first] == people[pairs.second]) != pairs.same).sum())
        if wrong:
            notes.append(f"{wrong:,} pairs are called genuine with two subjects, or impostors with one")
        return people
    notes.append("the files do not say who the templates show: those joined by genuine pairs were resampled together")
    people = np.arange(len(templates))
    first, second = pairs.first[pairs.same], pairs.second[pairs.same]
    while (people[first] != people[second]).any():
        lower = np.minimum(people[first], people[second])
        np.minimum.at(people, people[first], lower)
        np.minimum.at(people, people[second], lower)
        people = people[people]
    return np.unique(people, return_inverse=True)[1]
