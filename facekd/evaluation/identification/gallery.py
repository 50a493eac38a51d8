"""Every probe against a gallery of people: how many are ahead of its mate, and how high the best other one scores."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facekd.data.feature_set import ROWS, Features, FeatureSet, SelectedFeatures
from facekd.errors import DataError
from facekd.evaluation.identification.mates import exact_scores, rounding
from facekd.utils.progress import progress

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
PROBES = 1024
"""Probes multiplied with a block of the gallery at a time."""


@dataclass(frozen=True, eq=False)
class Searched:
    """What each probe met in one gallery.

    Attributes:
        labels: int64 [probes], who each probe shows.
        mated: bool [probes], whether that person is in the gallery.
        rank: int64 [probes], 1 + people in the gallery who score at least as high as the mate; 0 without a mate.
        mate: float64 [probes], the best score of a row of the same person; minus infinity without a mate.
        highest: float64 [probes], the best score of a row of anybody else; minus infinity if there is nobody else.
        people: number of people in the gallery.
        rows: number of rows in the gallery.
    """

    labels: Ints
    mated: NDArray[np.bool_]
    rank: Ints
    mate: Floats
    highest: Floats
    people: int
    rows: int


def compare(probes: FeatureSet, gallery: FeatureSet) -> Searched:
    """Compare every probe with every person of a gallery, who scores as high as the best of that person's rows.

    The gallery is read twice, a block at a time, whatever its size. Products are float32; what they cannot tell apart
    is decided in float64, so that ranks are those of float64 arithmetic and equal rows tie.

    Args:
        probes: with labels.
        gallery: with labels; read fastest where the rows of a person lie together in rising order of the labels.

    Raises:
        DataError: labels are missing, dimensions differ, or a feature is zero or not finite.
    """
    for what, features in (("probes", probes), ("gallery", gallery)):
        if features.labels is None:
            raise DataError(f"the {what}, {features.path}, have no labels; say who each row shows")
    if probes.dimension != gallery.dimension:
        raise DataError(f"{probes.path} has {probes.dimension} dimensions, {gallery.path} {gallery.dimension}; "
                        "use features of one model")
    people = _People(gallery)
    labels = np.asarray(probes.labels)
    own = np.minimum(np.searchsorted(people.labels, labels), len(people.labels) - 1)
    own[people.labels[own] != labels] = -1
    mate, highest = np.full((2, len(labels)), -np.inf)
    ahead = np.zeros(len(labels), np.int64)
    parts = [slice(start, min(start + PROBES, len(labels))) for start in range(0, len(labels), PROBES)]
    with progress("search", 2 * len(gallery), "rows") as advance:
        for block in people.blocks():
            for part in parts:
                here = np.flatnonzero((own[part] >= block.first) & (own[part] < block.last))
                if len(here):
                    rows = probes.unit(part.start, part.stop)
                    mate[part.start + here] = block.best(rows, here, own[part][here])
            advance(len(block.rows), "")
        bounds = np.where(own >= 0, mate, np.inf)
        for block in people.blocks():
            for part in parts:
                found, best = block.count(probes.unit(part.start, part.stop), own[part], bounds[part], highest[part])
                ahead[part] += found
                highest[part] = best
            advance(len(block.rows), "")
    mated = own >= 0
    return Searched(labels, mated, np.where(mated, 1 + ahead, 0), mate, highest, len(people.labels), len(gallery))


class _People:
    """A gallery by person.

    Attributes:
        labels: int64 [people], rising.
    """

    def __init__(self, gallery: FeatureSet) -> None:
        labels = np.asarray(gallery.labels)
        order = np.argsort(labels, kind="stable")
        self._rows = gallery if np.array_equal(order, np.arange(len(order))) else SelectedFeatures(gallery, order)
        self.labels, start = np.unique(labels[order], return_index=True)
        self._start = np.append(start, len(labels))

    def blocks(self) -> Iterator[_Block]:
        """Whole people, some `ROWS` rows at a time."""
        wanted = np.searchsorted(self._start, np.arange(0, self._start[-1], ROWS))
        edges = np.append(wanted[wanted < len(self.labels)], len(self.labels))
        for first, last in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
            if last > first:
                start = self._start[first : last + 1]
                yield _Block(first, last, self._rows.unit(int(start[0]), int(start[-1])), start - start[0])


@dataclass(frozen=True, eq=False)
class _Block:
    """People ``first`` to ``last`` of a gallery; the rows of the i-th of them are ``start[i]`` to ``start[i + 1]``."""

    first: int
    last: int
    rows: Features
    start: Ints

    def best(self, probes: Features, which: Ints, person: Ints) -> Floats:
        """The best score of a probe and a row of a person of this block, exactly: float64 [asked]."""
        if not len(which):
            return np.empty(0)
        person = person - self.first
        count = self.start[person + 1] - self.start[person]
        first = np.cumsum(count) - count
        column = np.arange(int(count.sum())) + np.repeat(self.start[person] - first, count)
        best: Floats = np.maximum.reduceat(exact_scores(probes, np.repeat(which, count), self.rows, column), first)
        return best

    def count(self, probes: Features, own: Ints, mate: Floats, highest: Floats) -> tuple[Ints, Floats]:
        """How many people of this block, its own aside, score at least as high as each probe's mate.

        Args:
            probes: float32 [probes, dimension].
            own: int64 [probes], the person of the gallery each probe shows, or -1.
            mate: float64 [probes], the exact score of its mate.
            highest: float64 [probes], the highest score of anybody else so far.

        Returns:
            int64 [probes]; ``highest`` with this block taken into account.
        """
        error = rounding(probes.shape[1]) + 1e-7  # the latter for rounding the bounds to float32
        scores = probes @ self.rows.T
        if len(self.start) <= len(self.rows):
            scores = np.maximum.reduceat(scores, self.start[:-1], axis=1)
        here = np.flatnonzero((own >= self.first) & (own < self.last))
        scores[here, own[here] - self.first] = -np.inf
        sure = scores > (mate + error).astype(np.float32)[:, None]
        which, person = np.nonzero((scores >= (mate - error).astype(np.float32)[:, None]) & ~sure)
        tied = self.best(probes, which, person + self.first) >= mate[which]
        ahead = sure.sum(axis=1) + np.bincount(which[tied], minlength=len(probes))
        person = scores.argmax(axis=1)
        top = scores[np.arange(len(probes)), person]
        rivals = np.flatnonzero((top > highest - error) & np.isfinite(top))
        highest = highest.copy()
        highest[rivals] = np.maximum(highest[rivals], self.best(probes, rivals, person[rivals] + self.first))
        return ahead, highest
