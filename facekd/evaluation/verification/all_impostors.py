"""TAR at low false accept rates, whose thresholds come from all impostor pairs of the images and not of the list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from facekd.data.pairs.pair_set import PairSet, identities_from_folders
from facekd.evaluation.statistics.bootstrap import Weights, bootstrap
from facekd.evaluation.statistics.far import allowed_false_accepts, format_percent, measurable_fars
from facekd.evaluation.types import FloatArray, IntArray, Interval
from facekd.evaluation.verification.thresholds import FARS, ImpostorPairs, highest_impostors
from facekd.io.records import tuples_to_lists

IdentitySource = Literal["folders", "pairs"]
FROM_PAIRS = ("the list names no people: images that no genuine pair links count as different people, so a person with "
              "unlinked images makes the thresholds too high and TAR too low, above all at the lowest rates")


@dataclass(frozen=True)
class AllImpostors:
    """Rates of a model at thresholds of all impostor pairs; rates are fractions, intervals resample people.

    Attributes:
        impostor_pairs: number of pairs of images of different people.
        people: number of people.
        identities: where the people are known from: the folders of the images, or the genuine pairs of the list.
        thresholds: lowest threshold above which at most floor(FAR * impostor_pairs) of these pairs score, by FAR; None
            where there are too few.
        threshold_interval: interval of each threshold.
        tar: share of the genuine pairs of the list above each threshold.
        tar_interval: interval of each ``tar``; the threshold is chosen again in each resample.
        notes: sentences that a reader of the figures needs.
    """

    impostor_pairs: int
    people: int
    identities: IdentitySource
    thresholds: dict[str, float | None]
    threshold_interval: dict[str, Interval | None]
    tar: dict[str, float | None]
    tar_interval: dict[str, Interval | None]
    notes: tuple[str, ...]

    def figures(self) -> dict[str, tuple[float | None, Interval | None]]:
        """Return the TARs by name, each with its interval."""
        return {f"TAR of all impostors at FAR {far}": (tar, self.tar_interval[far]) for far, tar in self.tar.items()}

    def to_dict(self) -> dict[str, Any]:
        """Return the fields of the JSON file."""
        return dict(tuples_to_lists(asdict(self)))

    def describe(self) -> list[str]:
        """Format the rates as lines for people."""
        lines = [f"of all {self.impostor_pairs:,} impostor pairs of the images ({self.people:,} people):"]
        for far, threshold in self.thresholds.items():
            ends, tar = self.threshold_interval[far], self.tar[far]
            if threshold is not None and ends is not None and tar is not None:
                lines.append(f"  FAR {far}: threshold {threshold:.3f} [{ends[0]:.3f}, {ends[1]:.3f}], TAR "
                             f"{format_percent(tar, self.tar_interval[far])}")
        missing = [far for far, threshold in self.thresholds.items() if threshold is None]
        if missing:
            lines.append(f"  FAR {' and '.join(missing)}: too few impostor pairs")
        return [*lines, *self.notes]


def measure_all_impostors(features: FloatArray, pairs: PairSet, scores: FloatArray, fars: Sequence[str] = FARS, *,
                          others: FloatArray | None = None, resamples: int = 300, seed: int = 0
                          ) -> AllImpostors | None:
    """Measure TAR at thresholds that come from all pairs of the list's images that show different people.

    Args:
        features: float64 [images, dimension], rows of unit length, for the distinct images of the list.
        pairs: the pair list.
        scores: float64 [pairs], the cosines of its pairs; with ``others`` [2 x pairs], first in the order of the list,
            then with the images of each pair swapped.
        fars: false accept rates as text.
        others: float64 [images, dimension], the second image of each pair by another model; each pair then counts in
            both orders.
        resamples: number of bootstrap resamples of the people.
        seed: seed of the bootstrap.

    Returns:
        The rates; None if the people cannot be told apart, or no rate can be measured.
    """
    known = identities_of_images(pairs)
    if known is None:
        return None
    identity, source = known
    sizes = np.bincount(identity)
    orders = 1 if others is None else 2
    same, first = np.tile(pairs.same, orders), np.tile(pairs.first, orders)
    impostors = int(len(identity) ** 2 - (sizes**2).sum()) // 2 * orders
    usable, _ = measurable_fars(fars, impostors // orders)
    if not usable:
        return None
    limits = np.array([allowed_false_accepts(far, impostors) for far in usable])
    # A resample can hold the highest pairs several times or not at all, so twice as many are kept as are needed.
    kept = highest_impostors(features, identity, 2 * int(limits.max()) + 100, others=others)
    figures = RatesOfPeople(kept, identity, sizes, first[same], scores[same], limits / impostors,
                            orders)
    ends = bootstrap(figures, np.zeros(len(sizes), np.int64), resamples, seed)
    thresholds = kept.scores[np.minimum(limits, len(kept.scores) - 1)].astype(np.float64)
    tar = [float((scores[same] > threshold).mean()) for threshold in thresholds]
    count = len(usable)
    return AllImpostors(
        impostors, len(sizes), source, _by_far(fars, usable, thresholds.tolist()),
        _by_far(fars, usable, _intervals(ends[:count])), _by_far(fars, usable, tar),
        _by_far(fars, usable, _intervals(ends[count:])), (FROM_PAIRS,) if source == "pairs" else (),
    )


def identities_of_images(pairs: PairSet) -> tuple[IntArray, IdentitySource] | None:
    """Find the person in each distinct image of a list: from the folders, or by its genuine pairs.

    Returns:
        int64 [images], numbers from 0, and where they come from; None if genuine pairs link the images of an impostor
        pair, or all images.
    """
    names = identities_from_folders(pairs)
    if names is not None:
        return np.unique(names, return_inverse=True)[1].astype(np.int64), "folders"
    leader = list(range(len(pairs.images)))

    def find(image: int) -> int:
        """Return the first image of a person."""
        while leader[image] != image:
            leader[image] = leader[leader[image]]
            image = leader[image]
        return image

    for first, second in zip(pairs.first[pairs.same].tolist(), pairs.second[pairs.same].tolist(), strict=True):
        leader[find(first)] = find(second)
    identity = np.unique([find(image) for image in leader], return_inverse=True)[1].astype(np.int64)
    impostors = ~pairs.same
    if (identity[pairs.first[impostors]] == identity[pairs.second[impostors]]).any() or identity.max(initial=0) == 0:
        return None
    return identity, "pairs"


class RatesOfPeople:
    """The statistic of the bootstrap: thresholds, then TARs, for people that count several times.

    Args:
        kept: the impostor pairs of highest similarity.
        identity: int64 [images].
        sizes: int64 [people], images of each person.
        genuine_images: int64 [genuine pairs], an image of each pair.
        genuine: float64 [genuine pairs], their cosines.
        rates: float64 [rates], the shares of impostor pairs that may be accepted.
        orders: 2 if each pair counts in both orders.
    """

    def __init__(self, kept: ImpostorPairs, identity: IntArray, sizes: IntArray, genuine_images: IntArray,
                 genuine: FloatArray, rates: FloatArray, orders: int = 1) -> None:
        self._scores = kept.scores.astype(np.float64)
        self._people = identity[kept.first], identity[kept.second]
        self._sizes = sizes
        order = np.argsort(-genuine, kind="stable")
        self._genuine = -genuine[order]
        self._genuine_people = identity[genuine_images][order]
        self._rates = rates
        self._orders = orders

    def __call__(self, weights: Weights) -> FloatArray:
        """Compute float64 [batch, 2 rates]."""
        return np.stack([self._row(row.astype(np.int64)) for row in weights])

    def _row(self, weights: IntArray) -> FloatArray:
        images = weights * self._sizes
        impostors = int(images.sum() ** 2 - (images**2).sum()) // 2 * self._orders
        accepted = np.cumsum(weights[self._people[0]] * weights[self._people[1]])
        first_refused = np.searchsorted(accepted, np.floor(self._rates * impostors), "right")
        thresholds = self._scores[np.minimum(first_refused, len(self._scores) - 1)]
        genuine = np.concatenate([[0], np.cumsum(weights[self._genuine_people])])
        tar = genuine[np.searchsorted(self._genuine, -thresholds, "left")] / max(int(genuine[-1]), 1)
        return np.concatenate([thresholds, tar])


def _by_far(fars: Sequence[str], usable: Sequence[str], values: Sequence[Any]) -> dict[str, Any]:
    """Return values by rate, None where a rate cannot be measured."""
    known = dict(zip(usable, values, strict=True))
    return {far: known.get(far) for far in fars}


def _intervals(ends: FloatArray) -> list[Interval]:
    return [(float(low), float(high)) for low, high in ends]
