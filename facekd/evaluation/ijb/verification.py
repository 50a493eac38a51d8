"""Verification of templates: TAR at FAR over ten million pairs (IJB 1:1; Whitelam et al. 2017, Maze et al. 2018)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from facekd.data.feature_set import FeatureSet
from facekd.data.ijb.protocol import UNKNOWN_SUBJECT, TemplatePairs
from facekd.errors import DataError
from facekd.evaluation.ijb.pooling import template_pair_scores
from facekd.evaluation.statistics.bootstrap import Weights, bootstrap
from facekd.evaluation.statistics.far import allowed_false_accepts, format_tars, measurable_fars, weighted_tar
from facekd.evaluation.types import Float32Array, FloatArray, Int32Array, IntArray, Interval
from facekd.utils.progress import progress_bar

FARS = ("1e-6", "1e-5", "1e-4", "1e-3", "1e-2", "1e-1")
MIN_IMPOSTORS = 1 << 20
"""Smallest number of highest impostor scores that every resample looks at."""


@dataclass(frozen=True, eq=False)
class TemplatePairsResult:
    """The result of `verify_templates`; rates are fractions, intervals are 95 % bootstrap intervals over people.

    Attributes:
        tar: true accept rate at each false accept rate; None where there are too few impostor pairs.
        tar_interval: interval of each ``tar``.
        thresholds: the threshold of each ``tar``: a pair is accepted if its score is above it.
        genuine: number of genuine pairs.
        impostors: number of impostor pairs.
        templates: number of templates in the pairs.
        identities: number of people that were resampled.
        notes: sentences that a reader of the figures needs.
    """

    tar: dict[str, float | None]
    tar_interval: dict[str, Interval | None]
    thresholds: dict[str, float | None]
    genuine: int
    impostors: int
    templates: int
    identities: int
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the fields of the JSON file."""
        return {
            "tar": self.tar,
            "tar_interval": {far: None if ends is None else list(ends) for far, ends in self.tar_interval.items()},
            "thresholds": self.thresholds,
            "genuine": self.genuine,
            "impostors": self.impostors,
            "templates": self.templates,
            "identities": self.identities,
            "notes": list(self.notes),
        }

    def describe(self) -> str:
        """Format the result as lines for people."""
        return "\n".join([
            f"{self.genuine:,} genuine and {self.impostors:,} impostor pairs of {self.templates:,} templates of "
            f"{self.identities:,} people",
            *format_tars(self.tar, self.tar_interval, self.thresholds), *self.notes,
        ])


def verify_templates(templates: FeatureSet, pairs: TemplatePairs, fars: Sequence[str] = FARS, resamples: int = 1000,
                     seed: int = 0) -> TemplatePairsResult:
    """Measure how well the similarity of two templates separates genuine pairs from impostor pairs.

    TAR at a FAR is the largest true accept rate of any threshold that accepts at most floor(FAR * impostors) impostor
    pairs, counted exactly on float32 scores. Intervals resample people: each genuine pair of a person drawn twice
    counts twice, and an impostor pair of a person drawn twice and one drawn three times counts six times. The labels of
    the templates are their people; if some are `UNKNOWN`, templates joined by genuine pairs are one person, and a note
    says so.

    Args:
        templates: one row per template, labeled with its subject.
        pairs: the pairs to compare.
        fars: false accept rates as text, e.g. ``"1e-4"``; they are the keys of the result.
        resamples: number of bootstrap resamples.
        seed: seed of the bootstrap.

    Raises:
        DataError: there are no genuine or no impostor pairs, or a template is zero or not finite.
    """
    genuine = int(pairs.same.sum())
    impostors = len(pairs.same) - genuine
    if not genuine or not impostors:
        raise DataError(f"{pairs.source} holds {genuine} genuine and {impostors} impostor pairs; both are needed")
    usable, notes = measurable_fars(fars, impostors)
    identity = _identity_of_each_template(templates, pairs, notes)
    limits = [allowed_false_accepts(far, impostors) for far in usable]
    scores = template_pair_scores(templates.all_l2_normalized_rows(), pairs.first, pairs.second)
    ranked = RankedTemplatePairs(scores, pairs, identity, max([0, *limits]))
    with progress_bar("resample", resamples, "resamples") as advance:

        def figures(weights: Weights) -> FloatArray:
            """Compute the TARs."""
            rates = np.stack([ranked.tar(row, usable) for row in weights])
            advance(len(weights), "")
            return rates

        resampled = bootstrap(figures, ranked.strata, resamples, seed) if usable else np.empty((0, 2))
    tar = dict(zip(usable, ranked.tar(np.ones(len(ranked.strata), np.int32), usable).tolist(), strict=True))
    intervals = dict(zip(usable, [(low, high) for low, high in resampled.tolist()], strict=True))
    thresholds = dict(zip(usable, ranked.impostors[limits].tolist(), strict=True))
    return TemplatePairsResult(
        tar={far: tar.get(far) for far in fars},
        tar_interval={far: intervals.get(far) for far in fars},
        thresholds={far: thresholds.get(far) for far in fars},
        genuine=genuine, impostors=impostors,
        templates=len(np.union1d(pairs.first, pairs.second)),
        identities=int((ranked.strata > 0).sum()), notes=tuple(notes),
    )


class RankedTemplatePairs:
    """Pairs by falling score: all genuine pairs, and the impostor pairs that thresholds are chosen among.

    Args:
        scores: float32 [pairs].
        pairs: the pairs.
        identity: int64 [templates], the person of each template, numbered from 0.
        limit: largest number of impostor pairs that may be accepted.

    Attributes:
        impostors: float32 [high], the highest scores of impostor pairs.
        strata: int64 [identities], 2 for people with genuine pairs, 1 for others, 0 for those without any pair.
    """

    def __init__(self, scores: Float32Array, pairs: TemplatePairs, identity: IntArray, limit: int) -> None:
        genuine = np.flatnonzero(pairs.same)
        genuine = genuine[np.argsort(-scores[genuine], kind="stable")]
        all_impostors = np.flatnonzero(~pairs.same)
        # A resample with heavy impostor pairs reaches further down than the pairs themselves: twice the limit.
        high = _highest(scores, all_impostors, max(MIN_IMPOSTORS, 2 * limit + 1))
        self._genuine = scores[genuine]
        self._genuine_identity = identity[pairs.first[genuine]]
        self.impostors = scores[high]
        self._first_identity = identity[pairs.first[high]]
        self._second_identity = identity[pairs.second[high]]
        self._num_lower = len(all_impostors) - len(high)
        identities = int(identity.max()) + 1
        occurrences = _count_identities(identity, pairs, all_impostors, identities)
        self._lower_occurrences = occurrences - _count_identities(identity, pairs, high, identities)
        self.strata = (occurrences > 0).astype(np.int64)
        self.strata[self._genuine_identity] = 2

    def tar(self, weights: Int32Array, fars: Sequence[str]) -> FloatArray:
        """Compute the TAR at each FAR, float64 [fars], with people counted ``weights`` [identities] times."""
        counts = weights.astype(np.uint16)
        pair_weights = counts[self._first_identity] * counts[self._second_identity]
        # Of the lower pairs only the total weight is needed, to first order in the weights: w1 w2 is about w1 + w2 - 1.
        lower = self._num_lower + int((weights - 1) @ self._lower_occurrences)
        total = np.array(pair_weights.sum(dtype=np.int64) + max(0, lower))
        limits = np.array([allowed_false_accepts(far, total) for far in fars], np.int64)
        return weighted_tar(self._genuine, weights[self._genuine_identity], self.impostors, pair_weights, limits)


def _count_identities(identity: IntArray, pairs: TemplatePairs, chosen: IntArray, identities: int) -> IntArray:
    """Return how often each person occurs in the chosen pairs, int64 [identities]."""
    first = np.bincount(identity[pairs.first[chosen]], minlength=identities)
    return first + np.bincount(identity[pairs.second[chosen]], minlength=identities)


def _highest(scores: Float32Array, candidates: IntArray, count: int) -> IntArray:
    """Return the candidate pairs with the highest scores, falling: ``count`` of them (and ties), or all."""
    if len(candidates) > count:
        candidate_scores = scores[candidates]
        cut = len(candidates) - count
        candidates = candidates[candidate_scores >= np.partition(candidate_scores, cut)[cut]]
    return candidates[np.argsort(-scores[candidates], kind="stable")]


def _identity_of_each_template(templates: FeatureSet, pairs: TemplatePairs, notes: list[str]) -> IntArray:
    """Return the person of each template, int64 [templates], numbered from 0, and add notes."""
    labels = templates.labels
    used = np.union1d(pairs.first, pairs.second)
    if labels is not None and not (labels[used] == UNKNOWN_SUBJECT).any():
        identity = np.unique(labels, return_inverse=True)[1]
        contradictions = int(((identity[pairs.first] == identity[pairs.second]) != pairs.same).sum())
        if contradictions:
            notes.append(f"{contradictions:,} pairs are called genuine with two subjects, or impostors with one")
        return identity
    notes.append("the files do not name the subjects: templates joined by genuine pairs were resampled as one person")
    # Connected components: every template takes the lowest number among its partners until nothing changes.
    identity = np.arange(len(templates))
    first = pairs.first[pairs.same]
    second = pairs.second[pairs.same]
    while (identity[first] != identity[second]).any():
        lower = np.minimum(identity[first], identity[second])
        np.minimum.at(identity, identity[first], lower)
        np.minimum.at(identity, identity[second], lower)
        identity = identity[identity]
    return np.unique(identity, return_inverse=True)[1]
