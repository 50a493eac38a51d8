"""The table of distillation methods for the terminal."""

from __future__ import annotations

from collections.abc import Iterable

from rich.table import Table

from facekd.methods.catalogue import MethodEntry


def methods_table(entries: Iterable[MethodEntry]) -> Table:
    """Return a table with one row per method: name, family, needs, teacher, paper."""
    table = Table("method", "family", "needs", "teacher", "paper", box=None)
    for entry in entries:
        table.add_row(entry.name, entry.family, entry.needs, entry.teacher, entry.paper)
    return table
