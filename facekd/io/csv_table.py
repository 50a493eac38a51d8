"""Tables for people as CSV files."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from facekd.io.files import write_bytes
from facekd.text import csv_cell


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table; cells that a spreadsheet would run as formulas are escaped (`csv_cell`).

    Args:
        path: the file.
        columns: the names of the columns.
        rows: one sequence of cells per row.

    Raises:
        SetupError: the file cannot be written.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([csv_cell(str(value)) for value in row] for row in rows)
    write_bytes(path, text.getvalue().encode("utf-8", "surrogateescape"))  # file names need not be valid UTF-8
