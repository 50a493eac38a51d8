"""The result of identification among distractors: its figures, the fields of its JSON file, and lines for people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from facekd.evaluation.identification.mates import Mates
from facekd.evaluation.identification.per_identity import PerIdentityCounts
from facekd.evaluation.statistics.far import format_percent, format_tars
from facekd.evaluation.types import FloatArray, IntArray, Interval


@dataclass(frozen=True, eq=False)
class IdentificationResult:
    """The result of `identify`; rates are fractions, intervals are 95 % bootstrap intervals over identities.

    Attributes:
        rank1: share of the pairs whose mate is ahead of all distractors.
        rank1_interval: interval of ``rank1``.
        cmc: share of the pairs whose mate is at rank 1, 2, ... 100 or better.
        pairs: number of ordered (probe, mate) pairs.
        probes: number of probes.
        identities: number of people among the probes.
        distractors: number of distractors.
        tar: true accept rate at each false accept rate; None where there are too few impostor pairs.
        tar_interval: interval of each ``tar``.
        notes: sentences that a reader of the figures needs.
        mates: the pairs, by probe.
        distractors_ahead: int64 [pairs], distractors ahead of each mate, that is its rank counted from 0.
        identity_counts: counts of every identity, for the comparison with another model.
        roc_far: float64 [points], false accept rates of the ROC curve, rising.
        roc_tar: float64 [points], true accept rates of the ROC curve.
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
    distractors_ahead: IntArray
    identity_counts: PerIdentityCounts
    roc_far: FloatArray
    roc_tar: FloatArray

    def figures(self) -> dict[str, tuple[float | None, Interval | None]]:
        """Return rank-1 and TARs by name, each with its interval."""
        return {"rank-1": (self.rank1, self.rank1_interval),
                **{f"TAR at FAR {far}": (tar, self.tar_interval[far]) for far, tar in self.tar.items()}}

    def limits(self) -> dict[str, float | None]:
        """Return nothing: this protocol keeps no thresholds."""
        return {}

    def to_dict(self) -> dict[str, Any]:
        """Return the fields of the JSON file; arrays are left out."""
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
        """Format the result as lines for people."""
        lines = [
            f"rank-1 {format_percent(self.rank1, self.rank1_interval)}, rank-10 {self.cmc[9]:.2%}",
            f"{self.pairs:,} pairs of {self.probes:,} probes of {self.identities:,} people, "
            f"{self.distractors:,} distractors",
            *format_tars(self.tar, self.tar_interval), *self.notes,
        ]
        return "\n".join(lines)
