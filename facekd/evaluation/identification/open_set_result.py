"""The result of open-set identification: its rates, the fields of its JSON file, and lines for people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from facekd.evaluation.statistics.far import format_percent
from facekd.evaluation.types import Interval


@dataclass(frozen=True, eq=False)
class OpenSetResult:
    """The result of `identify_open_set`; rates are fractions, intervals are 95 % bootstrap intervals over people.

    Attributes:
        rank: share of the probes with a mate whose mate is at rank 1, 5, 10 or better (closed set).
        rank_interval: interval of each ``rank``.
        cmc: share of the probes with a mate whose mate is at rank 1, 2, ... 100 or better.
        tpir: share of the probes with a mate whose mate is at rank 1 and above the threshold of the false positive
            identification rate (FPIR), which is the share of the probes without a mate for whom any identity is above
            the threshold (open set). None where there are too few such probes.
        tpir_interval: interval of each ``tpir``.
        thresholds: the threshold of each ``tpir``; None for a mean of several galleries.
        mated: number of probes with a mate.
        unmated: number of probes without a mate.
        identities: number of people among the probes.
        gallery_identities: number of people in the gallery.
        galleries: number of galleries that the rates are means of; numbers of probes and gallery identities are sums.
        notes: sentences that a reader of the figures needs.
    """

    rank: dict[int, float]
    rank_interval: dict[int, Interval]
    cmc: tuple[float, ...]
    tpir: dict[str, float | None]
    tpir_interval: dict[str, Interval | None]
    thresholds: dict[str, float | None]
    mated: int
    unmated: int
    identities: int
    gallery_identities: int
    galleries: int
    notes: tuple[str, ...]

    def figures(self) -> dict[str, tuple[float | None, Interval | None]]:
        """Return the rates at ranks and the TPIRs by name, each with its interval."""
        return {**{f"rank-{rank}": (rate, self.rank_interval[rank]) for rank, rate in self.rank.items()},
                **{f"TPIR at FPIR {fpir}": (rate, self.tpir_interval[fpir]) for fpir, rate in self.tpir.items()}}

    def limits(self) -> dict[str, float | None]:
        """Return the thresholds by name."""
        return {f"threshold at FPIR {fpir}": threshold for fpir, threshold in self.thresholds.items()}

    def to_dict(self) -> dict[str, Any]:
        """Return the fields of the JSON file."""
        return {
            "rank": {str(rank): rate for rank, rate in self.rank.items()},
            "rank_interval": {str(rank): list(ends) for rank, ends in self.rank_interval.items()},
            "cmc": list(self.cmc),
            "tpir": self.tpir,
            "tpir_interval": {rate: None if ends is None else list(ends) for rate, ends in self.tpir_interval.items()},
            "thresholds": self.thresholds,
            "mated": self.mated,
            "unmated": self.unmated,
            "identities": self.identities,
            "gallery_identities": self.gallery_identities,
            "galleries": self.galleries,
            "notes": list(self.notes),
        }

    def describe(self) -> str:
        """Format the result as lines for people."""
        ranks = ", ".join(f"rank-{rank} {format_percent(rate, self.rank_interval[rank])}"
                          for rank, rate in self.rank.items())
        galleries = "the gallery" if self.galleries == 1 else f"{self.galleries} galleries"
        tpirs = [f"TPIR {format_percent(rate, self.tpir_interval[fpir])} at FPIR {fpir}{self._threshold(fpir)}"
                 for fpir, rate in self.tpir.items() if rate is not None]
        return "\n".join([
            ranks,
            f"{self.mated:,} probes with a mate, {self.unmated:,} without, {self.gallery_identities:,} people in "
            f"{galleries}",
            *tpirs, *self.notes,
        ])

    def _threshold(self, fpir: str) -> str:
        threshold = self.thresholds.get(fpir)
        return "" if threshold is None else f", threshold {threshold:.3f}"
