"""What a map is worth on images that it was not fitted on: cosines, and verification before and after."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facekd.data.pairs.pair_set import PairSet
from facekd.evaluation.cross_model.feature_map import FeatureMap
from facekd.evaluation.cross_model.fitting import separation
from facekd.evaluation.cross_model.result import CrossModelResult
from facekd.evaluation.cross_model.verification import mixed_scores, verify_pairs_across_models
from facekd.evaluation.statistics.difference import Difference
from facekd.evaluation.types import FloatArray, IntArray
from facekd.evaluation.verification.comparison import compare_verification, resampling_groups
from facekd.evaluation.verification.result import VerificationResult

MAX_GENUINE, MAX_IMPOSTOR = 2_000, 10_000
"""Largest numbers of pairs of held-out images that are drawn for verification."""
FARS = ("1e-1", "1e-2", "1e-3")
FOLDS = 5
MIN_PAIRS = 50
"""With fewer genuine pairs nothing is verified."""


@dataclass(frozen=True, eq=False)
class MapResult:
    """A fitted map with its figures on held-out images.

    Attributes:
        feature_map: the map.
        people: number of people among the held-out images; None if the images have no labels.
        cosine_low: the cosine that 1 % of the held-out images stay below.
        separation: see `facekd.evaluation.cross_model.fitting.separation`.
        unmapped_cosine: the mean cosine without the map; None if the models' embeddings differ in length.
        unmapped_separation: the separation without the map; None likewise.
        verification: pairs of held-out images, new/old with the map; None without labels or with too few pairs.
        gains: the differences of new/old with the map minus without it; empty where there is no figure without it.
        notes: sentences that a reader of the figures needs.
    """

    feature_map: FeatureMap
    people: int | None
    cosine_low: float
    separation: float
    unmapped_cosine: float | None
    unmapped_separation: float | None
    verification: CrossModelResult[VerificationResult] | None
    gains: tuple[Difference, ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the fields of the JSON file."""
        return {
            **self.feature_map.facts.model_dump(), "map_sha256": self.feature_map.fingerprint, "people": self.people,
            "cosine_low": self.cosine_low, "separation": self.separation, "unmapped_cosine": self.unmapped_cosine,
            "unmapped_separation": self.unmapped_separation,
            "verification": self.verification.to_dict() if self.verification else None,
            "gains": [{"metric": gain.metric, "first": gain.first, "second": gain.second,
                       "interval": list(gain.interval)} for gain in self.gains],
            "notes": list(self.notes),
        }

    def describe(self) -> str:
        """Format the result as lines for people."""
        facts = self.feature_map.facts
        strength = "" if facts.regularization is None else f", regularization {facts.regularization:g}"
        people = "" if self.people is None else f" of {self.people:,} people"
        lines = [
            f"map from {facts.old.label}, {facts.old.dimension} numbers, to {facts.new.label}, {facts.new.dimension}",
            f"{facts.method}{strength}, fitted on {facts.images:,} images, measured on {facts.held_out_images:,} others"
            f"{people}",
            f"cosine of mapped and new embedding: mean {facts.held_out_cosine:.3f}, lowest 1 % below "
            f"{self.cosine_low:.3f}{_without(self.unmapped_cosine)}",
            "an image's own embedding is closer than others' by "
            f"{self.separation:.3f} standard deviations{_without(self.unmapped_separation)}",
        ]
        if self.verification:
            lines += ["new/old with the map:", self.verification.describe()]
        if self.gains:
            lines += ["with the map - without it:", *(f"  {gain.describe()}" for gain in self.gains)]
        return "\n".join([*lines, *self.notes])


def measure_map(feature_map: FeatureMap, old: FloatArray, new: FloatArray, labels: IntArray | None, *,
                names: tuple[str, str], resamples: int = 1000, seed: int = 0) -> MapResult:
    """Measure a map on held-out images.

    Args:
        feature_map: the map.
        old: float64 [images, dimension], rows of unit length by the old model.
        new: float64 [images, dimension], rows of unit length by the new model.
        labels: int64 [images], the person of each image; None if that is not known.
        names: names of the old and the new model.
        resamples: number of bootstrap resamples.
        seed: seed of the pairs that are drawn, and of the bootstrap.
    """
    mapped = feature_map.convert(old).astype(np.float64)
    cosines = np.einsum("ij,ij->i", mapped, new)
    same_length = old.shape[1] == new.shape[1]
    mapped_separation = separation(mapped, new)
    unmapped_separation = separation(old, new) if same_length else None
    pairs = None if labels is None else draw_pairs(labels, seed)
    notes = []
    if unmapped_separation is not None and unmapped_separation >= mapped_separation:
        notes.append("the map does harm: the models share a space already, so compare their embeddings as they are")
    verification = None
    gains: tuple[Difference, ...] = ()
    if pairs is None:
        notes.append("nothing is verified: that needs labels, and held-out people with several images"
                     if labels is None else
                     f"nothing is verified: the held-out images have fewer than {MIN_PAIRS} genuine pairs")
    else:
        verification = verify_pairs_across_models(old, new, pairs, names=names, gallery=mapped, fars=FARS,
                                                  resamples=resamples, seed=seed)
        gains = _gains(old, new, mapped, pairs, resamples, seed) if same_length else ()
    people = None if labels is None else len(np.unique(labels))
    return MapResult(
        feature_map, people, cosine_low=float(np.quantile(cosines, 0.01)), separation=mapped_separation,
        unmapped_cosine=float(np.einsum("ij,ij->i", old, new).mean()) if same_length else None,
        unmapped_separation=unmapped_separation, verification=verification, gains=gains, notes=tuple(notes))


def _without(value: float | None) -> str:
    """Return the figure without the map, as the end of a sentence."""
    return "" if value is None else f"; without the map {value:.3f}"


def draw_pairs(labels: IntArray, seed: int = 0) -> PairSet | None:
    """Draw genuine and impostor pairs of images at random; None if there are too few genuine ones or one person only.

    Args:
        labels: int64 [images], the person of each image.
        seed: seed of the draw.
    """
    rng = np.random.default_rng(seed)
    order = np.argsort(labels, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)
    genuine = np.concatenate([np.stack([group[rows] for rows in np.triu_indices(len(group), 1)]) for group in groups],
                             axis=1)
    if genuine.shape[1] < MIN_PAIRS or len(groups) < 2:
        return None
    chosen = rng.permutation(genuine.shape[1])[:MAX_GENUINE]
    drawn = np.sort(rng.integers(0, len(labels), (4 * MAX_IMPOSTOR, 2)), axis=1)
    drawn = np.unique(drawn[labels[drawn[:, 0]] != labels[drawn[:, 1]]], axis=0)
    impostor = drawn[rng.permutation(len(drawn))[:MAX_IMPOSTOR]].T
    first, second = np.concatenate([genuine[:, chosen], impostor], axis=1)
    same = np.arange(len(first)) < len(chosen)
    images = [Path("held-out") / str(label) / str(image) for image, label in enumerate(labels.tolist())]
    return PairSet(Path("held-out images"), images, first, second, same, np.arange(len(first)) % FOLDS)


def _gains(old: FloatArray, new: FloatArray, mapped: FloatArray, pairs: PairSet, resamples: int,
           seed: int) -> tuple[Difference, ...]:
    """Compare new/old with the map and without it on the same pairs."""
    people = resampling_groups(pairs)
    fold, groups = (np.asarray(np.tile(values, 2), np.int64)
                    for values in (pairs.fold, np.arange(len(pairs)) if people is None else people))
    return tuple(compare_verification(
        mixed_scores(new, mapped, pairs), mixed_scores(new, old, pairs), np.asarray(np.tile(pairs.same, 2), np.bool_),
        fold, groups, fars=FARS, auc=True, resamples=resamples, seed=seed))
