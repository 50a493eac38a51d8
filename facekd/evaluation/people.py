"""What each person's probes meet among the distractors, counted so that people can be resampled afterwards."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from facekd.errors import DataError
from facekd.evaluation.far import allowed
from facekd.evaluation.features import Features
from facekd.progress import progress

CMC_RANKS = 100
EDGES = 2000
"""Genuine scores at which the resamples look for their thresholds: TAR intervals are resolved to 1/2000."""
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class People:
    """The probes by person, and per person what the figures and their resamples are made of.

    Args:
        probes: float32 [probes, dimension], rows of unit length.
        labels: int64 [probes].

    Raises:
        DataError: no person has two probes.

    Attributes:
        sizes: int64 [people], probes.
        pairs: int64 [people], ordered pairs.
        hits: int64 [people, 100], pairs whose mate is at rank 1, 2, ... or better.
    """

    def __init__(self, probes: Features, labels: Ints) -> None:
        _, self.sizes = np.unique(labels, return_counts=True)
        self.pairs = self.sizes * (self.sizes - 1)
        if not self.pairs.any():
            raise DataError(f"each of the {len(self.sizes)} people has one probe; at least one needs two or more")
        bounds = np.cumsum(self.sizes)[:-1]
        self._groups = np.split(probes[np.argsort(labels, kind="stable")], bounds)
        self._mates = [group @ group.T for group in self._groups]
        genuine = [np.sort(mates[np.triu_indices(len(mates), 1)]) for mates in self._mates]
        self._genuine = np.sort(np.concatenate(genuine))
        last = len(self._genuine) - 1
        self._edges = self._genuine[np.linspace(0, last, min(EDGES, last + 1)).astype(np.int64)]
        # How many of a person's genuine and impostor scores are at least as high as each edge.
        self._accepted = np.stack([len(own) - np.searchsorted(own, self._edges, "left") for own in genuine])
        self._false = np.zeros(self._accepted.shape, np.int64)
        self._false_in_all = np.zeros(len(self._genuine), np.int64)
        self.hits = np.zeros((len(self.sizes), CMC_RANKS), np.int64)

    def compare(self, distractors: Features, block: int) -> None:
        """Score all probes against all distractors and count, one person and one block of distractors at a time."""
        where = np.searchsorted(self._genuine, self._edges, "left")
        with progress("identify", int(self.sizes.sum()), "probe") as advance:
            for person, (group, mates) in enumerate(zip(self._groups, self._mates, strict=True)):
                ahead = np.zeros(mates.shape, np.int64)
                step = max(1, block // len(group))
                for start in range(0, len(distractors), step):
                    scores = group @ distractors[start : start + step].T
                    scores.sort(axis=1)
                    for probe, row in enumerate(scores):
                        ahead[probe] += len(row) - np.searchsorted(row, mates[probe], "left")
                    every = np.sort(scores, axis=None)
                    above = len(every) - np.searchsorted(every, self._genuine, "left")
                    self._false_in_all += above
                    self._false[person] += above[where]
                ranks = ahead[~np.eye(len(group), dtype=bool)]
                self.hits[person] = np.bincount(np.minimum(ranks, CMC_RANKS), minlength=CMC_RANKS + 1)[:-1].cumsum()
                advance(len(group), "")

    def exact_tar(self, limit: int) -> float:
        """True accept rate where at most ``limit`` impostor pairs are accepted: the genuine scores that few reach."""
        return float((self._false_in_all <= limit).mean())

    def tar(self, counts: Floats, fars: Sequence[str], distractors: int) -> list[Floats]:
        """Per rate the true accept rate of each resample, float64 [batch], with the people counted ``counts`` times."""
        impostors = (counts @ self.sizes).astype(np.int64) * distractors
        accepted, false = counts @ self._accepted, counts @ self._false
        rates = []
        for far in fars:
            fits = false <= allowed(far, impostors)[:, None]
            # The edges rise, so the first that fits accepts the most; where none fits, nothing is accepted.
            best = np.where(fits.any(axis=1), accepted[np.arange(len(counts)), fits.argmax(axis=1)], 0)
            rates.append(best / (counts @ self.pairs / 2))
        return rates
