"""What identification among distractors gives: its figures, the fields of its file, and lines to read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from facekd.evaluation.identification.mates import Floats, Ints, Mates
from facekd.evaluation.identification.per_identity import People
from facekd.evaluation.statistics.far import Interval, percent, tar_lines


@dataclass(frozen=True, eq=False)
class IdentificationResult:
    """What `identify` found; rates are fractions, intervals are 95 % bootstrap intervals over identities.

    Attributes:
        rank1: share of the pairs whose mate is ahead of all distractors.
        rank1_interval: of ``rank1``.
        cmc: share of the pairs whose mate is at rank 1, 2, ... 100 or better.
        pairs: ordered (probe, mate) pairs.
        probes: number of probes.
        identities: number of people among the probes.
        distractors: number of distractors.
        tar: true accept rate at each false accept rate; None where there are too few impostor pairs.
        tar_interval: of each ``tar``.
        notes: sentences a reader of the figures needs.
        mates: the pairs, by probe.
        ahead: int64 [pairs], distractors ahead of each mate; its rank counted from 0.
        people: counts of every person, for the comparison with another model.
        far: float64 [points], false accept rates of the ROC curve, rising.
        roc: float64 [points], its true accept rates.
    """

    rank1: float
    rank1_interval: Interval
    cmc: tuple[float, ...]
    pairs: int
    probes: int
    identities: int
    distractors: int
    tar: dict[str, float | None]
    tar_interval: dict[str, Interval | None]
    notes: tuple[str, ...]
    mates: Mates
    ahead: Ints
    people: People
    far: Floats
    roc: Floats

    def to_dict(self) -> dict[str, Any]:
        """The fields of the JSON file; what has a value a pair is left out."""
        return {
            "rank1": self.rank1,
            "rank1_interval": list(self.rank1_interval),
            "cmc": list(self.cmc),
            "pairs": self.pairs,
            "probes": self.probes,
            "identities": self.identities,
            "distractors": self.distractors,
            "tar": self.tar,
            "tar_interval": {far: None if ends is None else list(ends) for far, ends in self.tar_interval.items()},
            "notes": list(self.notes),
        }

    def describe(self) -> str:
        """The result as lines to read."""
        lines = [
            f"rank-1 {percent(self.rank1, self.rank1_interval)}, rank-10 {self.cmc[9]:.2%}",
            f"{self.pairs:,} pairs of {self.probes:,} probes of {self.identities:,} people, "
            f"{self.distractors:,} distractors",
            *tar_lines(self.tar, self.tar_interval), *self.notes,
        ]
        return "\n".join(lines)
