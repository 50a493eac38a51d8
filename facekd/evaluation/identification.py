"""Identification among distractors: the MegaFace challenge 1 protocol (Kemelmacher-Shlizerman et al., CVPR 2016)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facekd.errors import DataError
from facekd.evaluation.bootstrap import Weights, bootstrap
from facekd.evaluation.far import Interval, allowed, measurable, percent, tar_lines
from facekd.evaluation.features import Features, unit_rows
from facekd.evaluation.people import People

FARS = ("1e-2", "1e-3", "1e-4", "1e-5", "1e-6")
BLOCK = 1 << 24
"""Scores held at a time (64 MiB)."""
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


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

    def to_dict(self) -> dict[str, Any]:
        """The fields of the JSON file."""
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


def identify(
    probes: Features,
    labels: Ints,
    distractors: Features,
    fars: Sequence[str] = FARS,
    block: int = BLOCK,
    resamples: int = 1000,
    seed: int = 0,
) -> IdentificationResult:
    """Rank every probe's mates among distractors, and verify probes against them.

    For every person and every ordered pair (probe, mate) of that person's images the gallery is the mate and all
    distractors; the mate's rank is one more than the number of distractors that score at least as high (a distractor
    with the mate's very score is ahead of it). TAR at a FAR: genuine pairs are the pairs of one person's probes,
    impostor pairs every probe with every distractor; it is the largest true accept rate of any threshold that accepts
    at most floor(FAR * impostors) impostor pairs, counted exactly. Intervals resample people, with all their probes.
    Scores are float32 dot products, held ``block`` at a time, never all at once.

    Args:
        probes: float32 [probes, dimension]; rows that are not of unit length are normalised.
        labels: int64 [probes], the identity of each probe.
        distractors: float32 [distractors, dimension], a memory-mapped file will do; normalised likewise.
        fars: false accept rates as text, e.g. ``"1e-6"``; they are the keys of the result.
        block: scores held at a time.
        resamples: bootstrap resamples.
        seed: of the bootstrap.

    Raises:
        DataError: shapes do not fit, a row is zero or not finite, there is no distractor or no pair of probes.
    """
    if probes.ndim != 2 or distractors.ndim != 2 or probes.shape[1] != distractors.shape[1]:
        raise DataError(f"probes {probes.shape}, distractors {distractors.shape}: use features of one model for both")
    if len(labels) != len(probes) or not len(distractors):
        raise DataError(
            f"{len(probes)} probes, {len(labels)} labels, {len(distractors)} distractors; "
            "a label a probe and at least one distractor are needed"
        )
    people = People(unit_rows(probes, "the probes"), labels)
    people.compare(unit_rows(distractors, "the distractors"), block)
    impostors = len(probes) * len(distractors)
    usable, notes = measurable(fars, impostors)

    def figures(weights: Weights) -> Floats:
        counts = weights.astype(np.float64)
        rank1 = counts @ people.hits[:, 0] / (counts @ people.pairs)
        return np.column_stack([rank1, *people.tar(counts, usable, len(distractors))])

    single = int((people.sizes == 1).sum())
    if single:
        notes.insert(0, f"{single} of {len(people.sizes)} people have one probe: no mate to find, impostor pairs only")
    pairs = int(people.pairs.sum())
    drawn = bootstrap(figures, (people.sizes > 1).astype(np.int64), resamples, seed)
    ends = [(low, high) for low, high in drawn.tolist()]
    cmc = tuple((people.hits.sum(axis=0) / pairs).tolist())
    tars = {far: people.exact_tar(allowed(far, impostors)) for far in usable}
    intervals = dict(zip(usable, ends[1:], strict=True))
    return IdentificationResult(
        rank1=cmc[0], rank1_interval=ends[0], cmc=cmc, pairs=pairs, probes=len(probes), identities=len(people.sizes),
        distractors=len(distractors), tar={far: tars.get(far) for far in fars},
        tar_interval={far: intervals.get(far) for far in fars}, notes=tuple(notes),
    )
