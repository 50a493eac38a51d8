"""False match and false non-match rates of groups of people at one threshold (as ISO/IEC 19795-10 asks for)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from facekd.data.pairs.groups import GroupedPairs
from facekd.errors import DataError
from facekd.evaluation.groups.result import GroupRates, GroupsResult, WorstRatio
from facekd.evaluation.statistics.bootstrap import Weights, bootstrap
from facekd.evaluation.statistics.estimate import Estimate
from facekd.evaluation.types import BoolArray, FloatArray, IntArray, Interval
from facekd.evaluation.verification.all_impostors import identities_of_images
from facekd.text import path_text, short_repr

BLOCK_ROWS = 512
"""Images compared with the others of their group at a time."""
UNBOUNDED = 1e9
"""A ratio in place of one whose lowest rate is 0."""
RATIO_NOTE = ("the worst ratio of groups with equal rates is above 1 as well, by chance; its interval resamples "
              "people, and the threshold stays fixed")
LISTED_NOTE = ("the people are known from the genuine pairs of the list alone, so false matches are counted on its "
               "impostor pairs only")


@dataclass(frozen=True, eq=False)
class _Group:
    """The pairs of one group, by the people in them.

    Attributes:
        name: the name.
        people: int64 [people], the numbers of its people.
        accepted: float64 [people, people], upper triangle: accepted impostor pairs of two people, sparse.
        impostors: float64 [people, people], all impostor pairs; None where every pair of images counts.
        sizes: float64 [people], number of images.
        genuine: float64 [people], number of genuine pairs.
        missed: float64 [people], number of genuine pairs that are not accepted.
    """

    name: str
    people: IntArray
    accepted: csr_array
    impostors: csr_array | None
    sizes: FloatArray
    genuine: FloatArray
    missed: FloatArray

    def counts(self, weights: FloatArray) -> FloatArray:
        """Return false matches, impostor pairs, false non-matches, genuine pairs: float64 [batch, 4]."""
        own = weights[:, self.people]
        matches = ((self.accepted.T @ own.T).T * own).sum(axis=1)
        if self.impostors is None:
            images = own * self.sizes
            impostors = (images.sum(axis=1) ** 2 - (images**2).sum(axis=1)) / 2
        else:
            impostors = ((self.impostors.T @ own.T).T * own).sum(axis=1)
        return np.stack([matches, impostors, own @ self.missed, own @ self.genuine], axis=1)


def measure_groups(features: FloatArray, grouped: GroupedPairs, scores: FloatArray, threshold: float, *,
                   far: str | None = None, source: str = "as given", resamples: int = 500, seed: int = 0
                   ) -> GroupsResult:
    """Measure the error rates of each group.

    Genuine pairs are those of the list. Impostor pairs are all pairs of images of different people of one group; pairs
    of people of two groups are easier and do not count.

    Args:
        features: float64 [images, dimension], rows of unit length, for the distinct images of the list.
        grouped: the pairs with their groups.
        scores: float64 [pairs], their cosines.
        threshold: a pair is accepted if its cosine is above it.
        far: the false accept rate of the threshold.
        source: where the threshold comes from.
        resamples: number of bootstrap resamples of the people of each group.
        seed: seed of the bootstrap.

    Raises:
        DataError: there are fewer than two groups, or a person is in two groups.
    """
    pairs = grouped.pairs
    known = identities_of_images(pairs)
    if known is None:
        raise DataError(f"the people in {path_text(pairs.source)} cannot be told apart; put the images into one folder "
                        "per person")
    person, kind = known
    names = sorted({group for group in grouped.groups if group})
    if len(names) < 2:
        raise DataError(f"{path_text(pairs.source)} holds {len(names)} groups, a comparison needs two or more; check "
                        "the column 'group' or --groups")
    group = np.array([names.index(name) if name else -1 for name in grouped.groups])
    person_group = _groups_of_people(person, group, names)
    listed = None if kind == "folders" else pairs
    groups = [_collect(name, np.flatnonzero(person_group == number), person, features, grouped, scores, threshold,
                       listed) for number, name in enumerate(names)]

    def figures(weights: Weights) -> FloatArray:
        """Compute FMR and FNMR of each group, then both worst ratios."""
        rates = np.concatenate([_rates(one.counts(weights.astype(np.float64))) for one in groups], axis=1)
        return np.concatenate([rates, *(_ratio(rates[:, column::2]) for column in (0, 1))], axis=1)

    ends = [(low, high) for low, high in bootstrap(figures, person_group, resamples, seed).tolist()]
    everybody = np.ones((1, len(person_group)))
    counts = [one.counts(everybody)[0].astype(np.int64).tolist() for one in groups]
    values = figures(everybody.astype(np.int32))[0].tolist()
    rows = tuple(_row(one, count, values[2 * n : 2 * n + 2], ends[2 * n : 2 * n + 2])
                 for n, (one, count) in enumerate(zip(groups, counts, strict=True)))
    notes = [RATIO_NOTE, *([LISTED_NOTE] if listed else [])]
    if grouped.without_group:
        notes.append(f"{grouped.without_group:,} of {len(group):,} images have no group and are left out")
    return GroupsResult(
        threshold, far, source, rows, _worst(names, [row.fmr for row in rows], ends[-2]),
        _worst(names, [row.fnmr for row in rows], ends[-1]), tuple(notes))


def _groups_of_people(person: IntArray, group: IntArray, names: Sequence[str]) -> IntArray:
    """Return the group of each person, int64 [people], -1 if it is not known."""
    result = np.full(person.max() + 1, -1, np.int64)
    np.maximum.at(result, person, group)
    conflict = np.flatnonzero((group >= 0) & (group != result[person]))
    if len(conflict):
        both = names[group[conflict[0]]], names[result[person[conflict[0]]]]
        raise DataError(f"{len(np.unique(person[conflict]))} people have images in two groups, e.g. in "
                        f"{short_repr(both[0], 30)} and {short_repr(both[1], 30)}; give each person one group")
    return result


def _collect(name: str, people: IntArray, person: IntArray, features: FloatArray, grouped: GroupedPairs,
             scores: FloatArray, threshold: float, listed: object) -> _Group:
    """Count the pairs of one group by people."""
    pairs = grouped.pairs
    number = np.full(person.max() + 1, -1, np.int64)
    number[people] = np.arange(len(people))
    local = number[person]
    images = np.flatnonzero((local >= 0) & (np.array(grouped.groups) == name))
    first, second = local[pairs.first], local[pairs.second]
    genuine = pairs.same & (first >= 0) & (second >= 0)
    accepted = scores > threshold
    if listed is None:
        matrix, impostors = _all_accepted(features[images], local[images], threshold, len(people)), None
    else:
        strangers = ~pairs.same & (first >= 0) & (second >= 0)
        matrix = _matrix(first[strangers & accepted], second[strangers & accepted], len(people))
        impostors = _matrix(first[strangers], second[strangers], len(people))
    count = len(people)
    return _Group(name, people, matrix, impostors, np.bincount(local[images], minlength=count).astype(np.float64),
                  np.bincount(first[genuine], minlength=count).astype(np.float64),
                  np.bincount(first[genuine & ~accepted], minlength=count).astype(np.float64))


def _all_accepted(features: FloatArray, person: IntArray, threshold: float, people: int) -> csr_array:
    """Count the accepted impostor pairs of every two people."""
    total = csr_array((people, people), dtype=np.float64)
    for start in range(0, len(features), BLOCK_ROWS):
        rows = np.arange(start, min(start + BLOCK_ROWS, len(features)))
        accepted: BoolArray = features[rows] @ features.T > threshold
        accepted &= (person[rows, None] != person) & (rows[:, None] < np.arange(len(features)))
        first, second = np.nonzero(accepted)
        total = total + _matrix(person[rows[first]], person[second], people)
    return total


def _matrix(first: IntArray, second: IntArray, people: int) -> csr_array:
    return csr_array((np.ones(len(first)), (first, second)), shape=(people, people))


def _rates(counts: FloatArray) -> FloatArray:
    """Return FMR and FNMR, float64 [batch, 2]; 0 without pairs."""
    return counts[:, [0, 2]] / np.maximum(counts[:, [1, 3]], 1)


def _ratio(rates: FloatArray) -> FloatArray:
    """Return the highest rate over the lowest, float64 [batch, 1]."""
    lowest = rates.min(axis=1)
    ratio = np.divide(rates.max(axis=1), lowest, out=np.full(len(rates), UNBOUNDED), where=lowest > 0)
    return np.asarray(ratio[:, None])


def _row(group: _Group, counts: Sequence[int], values: Sequence[float], ends: Sequence[Interval]) -> GroupRates:
    matches, impostors, missed, genuine = counts
    fmr, fnmr = (Estimate(value, interval) for value, interval in zip(values, ends, strict=True))
    return GroupRates(group.name, len(group.people), impostors, matches, fmr if impostors else None, genuine, missed,
                      fnmr if genuine else None)


def _worst(names: Sequence[str], rates: Sequence[Estimate | None], ends: Interval) -> WorstRatio | None:
    values = [rate.value if rate else 0.0 for rate in rates]
    if min(values) == 0:
        return None
    low, high = ends
    return WorstRatio(names[int(np.argmax(values))], names[int(np.argmin(values))], max(values) / min(values),
                      (low, high if high < UNBOUNDED / 10 else None))
