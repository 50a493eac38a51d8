"""The table of one model on every evaluation set: what was found, what it gave, and what is missing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import rich.table
from rich.text import Text

from facekd.reporting import formatting as text

IJB_FAR = "1e-4"
"""The false accept rate that IJB's 1:1 is usually reported at."""
STATUSES = ("measured", "missing", "failed", "waiting")


class Figure(NamedTuple):
    """The main figure of a result; rates are fractions."""

    name: str
    value: float | None
    interval: Sequence[float] | None


@dataclass(frozen=True)
class Row:
    """One test of a set, or a set without one.

    Attributes:
        set: the title of the set.
        name: how the result is called.
        protocol: ``verify``, ``megaface`` or ``ijb``.
        paths: where the set lies.
        status: one of `STATUSES`; a waiting set was not reached yet.
        note: what there is to say, above all where nothing was measured.
        key: what was measured with what, hashed: a result with the same key need not be measured again.
        result: the fields of the single protocol's result file; None where nothing was measured.
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
        """Accuracy, rank-1, or TAR at FAR 1e-4 of templates (without 1:1, their rank-1)."""
        if self.result is None:
            return None
        if self.protocol == "verify":
            return Figure("accuracy", self.result["accuracy"], self.result["accuracy_interval"])
        if self.protocol == "megaface":
            among = f"rank-1 among {self.result['distractors']:,}"
            return Figure(among, self.result["rank1"], self.result["rank1_interval"])
        pairs = self.result["verification"]
        if pairs:
            return Figure(f"TAR at FAR {IJB_FAR}", pairs["tar"][IJB_FAR], pairs["tar_interval"][IJB_FAR])
        search = self.result["search"]["mean"]
        return Figure("rank-1 (1:N)", search["rank"]["1"], search["rank_interval"]["1"])

    @property
    def further(self) -> list[str]:
        """The other figures, a line each."""
        if self.result is None:
            return []
        if self.protocol == "verify":
            rest = f"AUC {self.result['auc']:.4f}, EER {text.percent(self.result['eer'])}"
            return [_rates("TAR", self.result["tar"]), f"{rest}, {self.result['pairs']:,} pairs"]
        if self.protocol == "megaface":
            rest = f"{self.result['pairs']:,} pairs of {self.result['identities']:,} people"
            return [_rates("TAR", self.result["tar"]), f"rank-10 {text.percent(self.result['cmc'][9])}, {rest}"]
        pairs, search = self.result["verification"], self.result["search"].get("mean")
        return [*([_rates("1:1 TAR", pairs["tar"])] if pairs else []),
                *([_rates("1:N rank", search["rank"]), _rates("1:N TPIR", search["tpir"])] if search else []),
                f"{self.result['templates']:,} templates"]

    @property
    def remarks(self) -> Iterator[str]:
        """The sentences that belong to the result."""
        parts = [self.result or {}]
        if self.protocol == "ijb" and self.result:
            parts += [self.result["verification"] or {}, *self.result["search"].values()]
        for part in parts:
            yield from part.get("notes", ())

    def to_dict(self) -> dict[str, Any]:
        """The fields of the JSON file."""
        return {**asdict(self), "figure": self.figure and self.figure._asdict()}


@dataclass(frozen=True)
class Suite:
    """Every set and what a model gave on it.

    Attributes:
        folder: where the sets were looked for.
        rows: one or more a set.
        notes: sentences about the folder.
    """

    folder: Path
    rows: Sequence[Row]
    notes: Sequence[str] = ()

    @property
    def failed(self) -> int:
        """How many sets could not be measured although they are there."""
        return sum(row.status == "failed" for row in self.rows)

    @property
    def footer(self) -> list[str]:
        """What the figures are, and what is to be known of each; one sentence each, said once for all sets alike."""
        said: dict[str, list[str]] = {}
        for row in self.rows:
            for note in row.remarks:
                said.setdefault(note, []).append(row.set)
        counts = {status: sum(row.status == status for row in self.rows) for status in STATUSES}
        return [
            "Rates in percent, the main figure with its 95 % bootstrap interval; @: at this FAR (TPIR: FPIR). "
            f"{text.NONE}: not given.",
            ", ".join(f"{count} {status}" for status, count in counts.items() if count) + f"; sets from {self.folder}.",
            *self.notes,
            *(f"{', '.join(dict.fromkeys(sets))}: {note}" for note, sets in said.items()),
        ]

    def to_dict(self) -> dict[str, Any]:
        """The fields of the JSON file; rates are fractions."""
        return {"folder": str(self.folder), "rows": [row.to_dict() for row in self.rows], "notes": list(self.notes)}

    def to_rich(self) -> rich.table.Table:
        """For a terminal."""
        footer = Text("\n".join(self.footer))  # Text throughout: brackets in plain strings are markup to rich
        table = rich.table.Table(caption=footer, caption_justify="left", show_lines=True)
        for heading in ("set", "found", "figure", "further figures", "note"):
            table.add_column(heading, overflow="fold")
        for row in self.rows:
            found = "\n".join(self._short(path) for path in row.paths)
            table.add_row(*map(Text, (row.set, found or text.NONE, _cell(row), "\n".join(row.further), row.note)))
        return table

    def _short(self, path: str) -> str:
        """A path below the folder without the folder."""
        inside = Path(path).is_relative_to(self.folder) and Path(path) != self.folder
        return str(Path(path).relative_to(self.folder)) if inside else path


def _cell(row: Row) -> str:
    if row.figure is None:
        return row.status
    return f"{row.figure.name}\n{text.with_interval(row.figure.value, row.figure.interval)}"


def _rates(what: str, rates: Mapping[str, float | None]) -> str:
    """Rates at several places in a line."""
    return f"{what} " + ", ".join(f"{text.percent(rate)} @{place}" for place, rate in rates.items())
