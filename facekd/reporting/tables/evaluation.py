"""The table of one model on every evaluation set: files, status, figures and notes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import rich.table
from rich.text import Text

from facekd.reporting import formatting
from facekd.reporting.tables.metrics import ijb_protocols
from facekd.text import printable

IJB_FAR = "1e-4"
"""The false accept rate at which papers report the 1:1 verification of IJB."""
STATUSES = ("measured", "missing", "failed", "waiting")


class Figure(NamedTuple):
    """The main figure of a result; rates are fractions."""

    name: str
    value: float | None
    interval: Sequence[float] | None


@dataclass(frozen=True)
class Row:
    """One test of an evaluation set, or a set without a result.

    Attributes:
        set: the title of the set.
        name: the name of the result.
        protocol: ``verify``, ``megaface`` or ``ijb``.
        paths: the files and folders of the set.
        status: one of `STATUSES`; the evaluation has not reached a waiting set yet.
        note: a comment, above all the reason why nothing was measured.
        key: a digest of all inputs of the measurement: a result with the same key is reused.
        result: the fields of the protocol's result file; None if nothing was measured.
    """

    set: str
    name: str
    protocol: str
    paths: Sequence[str]
    status: str
    note: str = ""
    key: str = ""
    result: Mapping[str, Any] | None = None

    @property
    def figure(self) -> Figure | None:
        """The main figure: accuracy, rank-1, or for IJB TAR at FAR 1e-4 of templates (without 1:1 pairs rank-1)."""
        if self.result is None:
            return None
        if self.protocol == "verify":
            return Figure("accuracy", self.result["accuracy"], self.result["accuracy_interval"])
        if self.protocol == "megaface":
            name = f"rank-1 among {self.result['distractors']:,}"
            return Figure(name, self.result["rank1"], self.result["rank1_interval"])
        template_pairs, open_set = ijb_protocols(dict(self.result))
        if template_pairs:
            return Figure(f"TAR at FAR {IJB_FAR}", template_pairs["tar"][IJB_FAR],
                          template_pairs["tar_interval"][IJB_FAR])
        return Figure("rank-1 (1:N)", open_set["rank"]["1"], open_set["rank_interval"]["1"])

    @property
    def further(self) -> list[str]:
        """The other figures, one line each."""
        if self.result is None:
            return []
        if self.protocol == "verify":
            areas = f"AUC {self.result['auc']:.4f}, EER {formatting.percent(self.result['eer'])}"
            return [_format_rates("TAR", self.result["tar"]), f"{areas}, {self.result['pairs']:,} pairs"]
        if self.protocol == "megaface":
            sizes = f"{self.result['pairs']:,} pairs of {self.result['identities']:,} people"
            rank10 = formatting.percent(self.result["cmc"][9])
            return [_format_rates("TAR", self.result["tar"]), f"rank-10 {rank10}, {sizes}"]
        template_pairs, open_set = ijb_protocols(dict(self.result))
        lines = []
        if template_pairs:
            lines.append(_format_rates("1:1 TAR", template_pairs["tar"]))
        if open_set:
            lines += [_format_rates("1:N rank", open_set["rank"]), _format_rates("1:N TPIR", open_set["tpir"])]
        return [*lines, f"{self.result['templates']:,} templates"]

    @property
    def result_notes(self) -> Iterator[str]:
        """The notes of the result, for IJB also those of its 1:1 and 1:N results."""
        results: list[Mapping[str, Any]] = [self.result or {}]
        if self.protocol == "ijb" and self.result:
            results += [self.result["verification"] or {}, *self.result["identification"].values()]
        for result in results:
            yield from result.get("notes", ())

    def to_dict(self) -> dict[str, Any]:
        """Return the fields of the JSON file."""
        return {**asdict(self), "figure": self.figure and self.figure._asdict()}


@dataclass(frozen=True)
class Suite:
    """The results of one model on all evaluation sets of a folder.

    Attributes:
        folder: the folder of the sets.
        rows: one or more rows per set.
        notes: sentences about the folder.
    """

    folder: Path
    rows: Sequence[Row]
    notes: Sequence[str] = ()

    @property
    def failed(self) -> int:
        """The number of sets that are present but could not be measured."""
        return sum(row.status == "failed" for row in self.rows)

    @property
    def footer(self) -> list[str]:
        """The units, the counts of rows by status, and the notes; a note of several sets appears once."""
        sets_by_note: dict[str, list[str]] = {}
        for row in self.rows:
            for note in row.result_notes:
                sets_by_note.setdefault(note, []).append(row.set)
        counts = {status: sum(row.status == status for row in self.rows) for status in STATUSES}
        return [
            "Rates in percent, the main figure with its 95 % bootstrap interval; @: at this FAR (TPIR: FPIR). "
            f"{formatting.MISSING}: not given.",
            ", ".join(f"{count} {status}" for status, count in counts.items() if count) + f"; sets from {self.folder}.",
            *self.notes,
            *(f"{', '.join(dict.fromkeys(sets))}: {note}" for note, sets in sets_by_note.items()),
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return the fields of the JSON file; rates are fractions."""
        return {"folder": str(self.folder), "rows": [row.to_dict() for row in self.rows], "notes": list(self.notes)}

    def to_rich(self) -> rich.table.Table:
        """Return the table for the terminal."""
        footer = _text("\n".join(self.footer))  # rich reads brackets in a plain string as markup
        table = rich.table.Table(caption=footer, caption_justify="left", show_lines=True)
        for heading in ("set", "files", "figure", "further figures", "note"):
            table.add_column(heading, overflow="fold")
        for row in self.rows:
            paths = "\n".join(self._shorten(path) for path in row.paths) or formatting.MISSING
            table.add_row(*map(_text, (row.set, paths, _main_figure(row), "\n".join(row.further), row.note)))
        return table

    def _shorten(self, path: str) -> str:
        """Return a path relative to the folder if it is inside of it."""
        is_inside = Path(path).is_relative_to(self.folder) and Path(path) != self.folder
        return str(Path(path).relative_to(self.folder)) if is_inside else path


def _main_figure(row: Row) -> str:
    if row.figure is None:
        return row.status
    return f"{row.figure.name}\n{formatting.with_interval(row.figure.value, row.figure.interval)}"


def _format_rates(label: str, rates: Mapping[str, float | None]) -> str:
    """Return rates at several FARs, FPIRs or ranks in one line."""
    values = (f"{formatting.percent(rate)} @{operating_point}" for operating_point, rate in rates.items())
    return f"{label} {', '.join(values)}"


def _text(cell: str) -> Text:
    """Return a cell whose control characters are escaped before its width is measured."""
    return Text(printable(cell, keep_newlines=True))
