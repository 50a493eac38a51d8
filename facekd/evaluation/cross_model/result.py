"""One evaluation in three combinations of an old and a new model: the figures side by side, and their differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from facekd.evaluation.statistics.difference import Difference
from facekd.evaluation.statistics.far import format_percent
from facekd.evaluation.types import Interval

COMBINATIONS = ("old/old", "new/new", "new/old")
"""Probe model / gallery model."""
COMPARED = ("old/old", "new/new")
"""What the mixed combination, new/old, is compared with."""


class Measured(Protocol):
    """The result of one combination."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences that a reader of the figures needs."""

    def figures(self) -> dict[str, tuple[float | None, Interval | None]]:
        """Return the rates by name, each with its interval."""

    def limits(self) -> dict[str, float | None]:
        """Return the thresholds by name."""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields of the JSON file."""


R = TypeVar("R", bound=Measured)


@dataclass(frozen=True)
class KeptThreshold:
    """What a threshold that was chosen for the old model does in another combination; rates are fractions.

    Attributes:
        chosen_for: the rate that the threshold was chosen for, e.g. ``FAR 1e-3`` or ``FPIR 1e-2``.
        threshold: the threshold of old/old.
        combination: ``new/new`` or ``new/old``.
        false_rate: FAR or FPIR of the combination above this threshold.
        true_rate: TAR or TPIR of the combination above it.
    """

    chosen_for: str
    threshold: float
    combination: str
    false_rate: float
    true_rate: float

    def describe(self) -> str:
        """Format the rates as a line for people."""
        kind = self.chosen_for.partition(" ")[0]
        return (f"{self.threshold:.3f} ({self.chosen_for}): {self.combination} has {kind} {self.false_rate:.2e}, "
                f"{kind.replace('F', 'T', 1)} {self.true_rate:.2%}")


@dataclass(frozen=True, eq=False)
class CrossModelResult(Generic[R]):
    """The result of one evaluation with an old model, with a new one, and with both.

    Attributes:
        old: name of the old model, which made the gallery.
        new: name of the new model, which makes the probes.
        results: the result of each of `COMBINATIONS`.
        differences: for each of `COMPARED` the differences of new/old minus it; paired 95 % bootstrap intervals.
        kept_thresholds: what the thresholds of old/old do in the other combinations; empty if that is not measured.
        notes: sentences that a reader of the figures needs.
    """

    old: str
    new: str
    results: Mapping[str, R]
    differences: Mapping[str, Sequence[Difference]]
    kept_thresholds: tuple[KeptThreshold, ...] = ()
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the fields of the JSON file."""
        return {
            "old": self.old,
            "new": self.new,
            "results": {combination: result.to_dict() for combination, result in self.results.items()},
            "differences": {
                f"new/old - {other}": [
                    {"metric": difference.metric, "first": difference.first, "second": difference.second,
                     "interval": list(difference.interval)} for difference in differences]
                for other, differences in self.differences.items()},
            "kept_thresholds": [vars(kept) for kept in self.kept_thresholds],
            "notes": [*self.notes, *self._result_notes()],
        }

    def describe(self) -> str:
        """Format the result as lines for people: a table, then the differences."""
        lines = [f"old: {self.old}, new: {self.new}; new/old: probes of the new model, gallery of the old one",
                 *_aligned(self._table())]
        for other, differences in self.differences.items():
            lines += [f"new/old - {other}:", *(f"  {difference.describe()}" for difference in differences)]
        if self.kept_thresholds:
            lines.append("with the thresholds of old/old:")
        lines += [f"  {kept.describe()}" for kept in self.kept_thresholds]
        return "\n".join([*lines, *self.notes, *self._result_notes()])

    def _table(self) -> list[list[str]]:
        """Return the cells of the table, the header first."""
        columns = [self.results[combination] for combination in COMBINATIONS]
        figures = [result.figures() for result in columns]
        rows = [["", *COMBINATIONS]]
        for metric in figures[0]:
            cells = [_cell(*column.get(metric, (None, None))) for column in figures]
            if any(cells):
                rows.append([metric, *cells])
        limits = [result.limits() for result in columns]
        for name in limits[0]:
            values = [column.get(name) for column in limits]
            if any(value is not None for value in values):
                rows.append([name, *("" if value is None else f"{value:.3f}" for value in values)])
        return rows

    def _result_notes(self) -> list[str]:
        """Return the notes of the combinations, each once with the combinations that it is of, unless of all."""
        owners: dict[str, list[str]] = {}
        for combination in COMBINATIONS:
            for note in self.results[combination].notes:
                owners.setdefault(note, []).append(combination)
        return [note if len(combinations) == len(COMBINATIONS) else f"{', '.join(combinations)}: {note}"
                for note, combinations in owners.items()]


def _cell(value: float | None, interval: Interval | None) -> str:
    return "" if value is None else format_percent(value, interval)


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the rows as lines with columns of equal width."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
