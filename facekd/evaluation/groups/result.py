"""Error rates by group: their figures, the fields of the JSON file, and a table for people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from facekd.evaluation.statistics.estimate import Estimate
from facekd.evaluation.types import Interval


@dataclass(frozen=True)
class GroupRates:
    """The error rates of one group; fractions, intervals resample its people.

    Attributes:
        group: the name.
        people: number of people.
        impostor_pairs: number of pairs of images of different people of the group.
        false_matches: number of these pairs above the threshold.
        fmr: false match rate; None without impostor pairs.
        genuine_pairs: number of genuine pairs of the list.
        false_non_matches: number of these pairs that are not above the threshold.
        fnmr: false non-match rate; None without genuine pairs.
    """

    group: str
    people: int
    impostor_pairs: int
    false_matches: int
    fmr: Estimate | None
    genuine_pairs: int
    false_non_matches: int
    fnmr: Estimate | None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields of the JSON file."""
        return {**vars(self), "fmr": self.fmr.to_dict() if self.fmr else None,
                "fnmr": self.fnmr.to_dict() if self.fnmr else None}


@dataclass(frozen=True)
class WorstRatio:
    """The highest rate of a group divided by the lowest one.

    Attributes:
        highest: name of the group with the highest rate.
        lowest: name of the group with the lowest rate.
        value: the ratio.
        interval: its interval; the upper end is None if resamples have groups without an error.
    """

    highest: str
    lowest: str
    value: float
    interval: tuple[float, float | None]

    def to_dict(self) -> dict[str, Any]:
        """Return the fields of the JSON file."""
        return {**vars(self), "interval": list(self.interval)}

    def describe(self) -> str:
        """Format the ratio."""
        low, high = self.interval
        upper = "no upper end" if high is None else f"{high:.2f}"
        return f"{self.value:.2f} [{low:.2f}, {upper}], {self.highest} over {self.lowest}"


@dataclass(frozen=True)
class GroupsResult:
    """The result of `measure_groups`.

    Attributes:
        threshold: similarity above which a pair is accepted.
        far: the false accept rate that the threshold was measured for; None if it is not known.
        source: where the threshold comes from.
        groups: the rates of each group.
        worst_fmr: the worst ratio of false match rates; None if a group has none.
        worst_fnmr: the worst ratio of false non-match rates; None if a group has none.
        notes: sentences that a reader of the figures needs.
    """

    threshold: float
    far: str | None
    source: str
    groups: tuple[GroupRates, ...]
    worst_fmr: WorstRatio | None
    worst_fnmr: WorstRatio | None
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the fields of the JSON file."""
        return {
            "threshold": self.threshold, "far": self.far, "source": self.source,
            "groups": [group.to_dict() for group in self.groups],
            "worst_fmr": self.worst_fmr.to_dict() if self.worst_fmr else None,
            "worst_fnmr": self.worst_fnmr.to_dict() if self.worst_fnmr else None, "notes": list(self.notes),
        }

    def describe(self) -> str:
        """Format the result as lines for people."""
        rate = f" (FAR {self.far})" if self.far else ""
        lines = [f"threshold {self.threshold:.3f}{rate}, {self.source}"]
        lines += [f"{group.group}: FMR {describe_rate(group.fmr, group.false_matches, group.impostor_pairs)}, "
                  f"FNMR {describe_rate(group.fnmr, group.false_non_matches, group.genuine_pairs)}, "
                  f"{group.people:,} people" for group in self.groups]
        for name, ratio in (("FMR", self.worst_fmr), ("FNMR", self.worst_fnmr)):
            lines.append(f"worst ratio of {name}: "
                         f"{ratio.describe() if ratio else 'not measurable, a group has no error or no pairs'}")
        return "\n".join([*lines, *self.notes])


def describe_rate(rate: Estimate | None, errors: int, pairs: int) -> str:
    """Format a rate in percent with its interval; without an error with the bound that so many pairs allow."""
    if rate is None:
        return "not measured"
    if not errors:
        return f"0 of {pairs:,} pairs (below about {min(300 / pairs, 100):.3g} %)"
    low, high = format_ends(rate.interval)
    return f"{100 * rate.value:.4g} % [{low}, {high}] ({errors:,} of {pairs:,} pairs)"


def format_ends(ends: Interval) -> tuple[str, str]:
    """Return the ends of an interval in percent."""
    return f"{100 * ends[0]:.4g}", f"{100 * ends[1]:.4g}"
