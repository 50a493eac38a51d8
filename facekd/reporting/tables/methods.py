"""The methods as a table for the terminal."""

from __future__ import annotations

from collections.abc import Iterable

from rich.table import Table

from facekd.methods.catalogue import Entry


def methods_table(entries: Iterable[Entry]) -> Table:
    """A line a method: name, family, what it needs, how its teacher runs, paper."""
    table = Table("method", "family", "needs", "teacher", "paper", box=None)
    for entry in entries:
        table.add_row(entry.name, entry.family, entry.needs, entry.teacher, entry.paper)
    return table
