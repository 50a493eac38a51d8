"""CSV files that collect the rows of runs; several processes may add rows to one file at a time."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from facekd.errors import DataError
from facekd.io import files
from facekd.io.locks import lock_output
from facekd.io.reading import parse_whole_number, read_text
from facekd.reporting.results.rows import FACT_COLUMNS, Row
from facekd.text import csv_cell, path_text, read_csv_cell, short_repr, shorten

KEY_COLUMNS = ("name", "seed")
"""The columns that identify a row."""
NUMBER_COLUMNS = ("seed", "parameters", "images", "classes", "stages", "epochs", "minutes")


def upsert(file: Path, rows: Sequence[Row]) -> None:
    """Write rows into a CSV file; a new row replaces the row of the same name and seed, and other rows stay.

    The file has the columns of all rows, and its rows are sorted by name and seed. It is replaced atomically, and of
    two processes that write at once the second waits for the first.

    Raises:
        DataError: the file is damaged, two new rows have the same name and seed, or the row to replace is of another
            model or training set.
        SetupError: the file cannot be written; it is unchanged.
    """
    new_rows = {_key(row): row for row in rows}
    if len(new_rows) < len(rows):
        raise DataError(f"{path_text(file)}: two of the given runs have one name and seed; write them into different "
                        "files")
    with lock_output(file, wait=True):
        old_rows = {_key(row): row for row in (read_rows(file) if file.exists() else [])}
        for key, row in new_rows.items():
            old_row = old_rows.get(key)
            if old_row and any(old_row.get(column) != row.get(column) for column in ("model", "data_sha256")):
                raise DataError(
                    f"{path_text(file)}: the row of {shorten(key[0])}, seed {key[1]:g}, is of another model or "
                    "training set; give another file, or delete that line"
                )
        files.write_text(file, _format_csv([row for _, row in sorted({**old_rows, **new_rows}.items())]))


def _key(row: Row) -> tuple[str, float]:
    return str(row["name"]), float(row["seed"])


def _format_csv(rows: Sequence[Row]) -> str:
    columns = {column for row in rows for column in row}
    text = io.StringIO()
    header = [*FACT_COLUMNS, *sorted(columns - set(FACT_COLUMNS))]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(csv_cell, header))
    for row in rows:
        cells = (row.get(column, "") for column in header)
        writer.writerow([csv_cell(cell) if isinstance(cell, str) else cell for cell in cells])
    return text.getvalue()


def read_rows(file: Path) -> list[Row]:
    """Return the rows of a CSV file that `upsert` wrote; an empty cell has no entry.

    Raises:
        DataError: the file does not exist or is damaged; the message names the line.
    """
    rows: dict[tuple[str, float], Row] = {}
    for location, cells in read_table(file, KEY_COLUMNS):
        row = {column: _parse_cell(location, column, cell)
               for column, cell in cells.items() if cell or column in KEY_COLUMNS}
        if rows.setdefault(_key(row), row) is not row:
            raise DataError(f"{location}: a second row of {shorten(row['name'])}, seed {row['seed']}; delete one of "
                            "them")
    return list(rows.values())


def _parse_cell(location: str, column: str, cell: str) -> str | float:
    if column not in NUMBER_COLUMNS and (column in FACT_COLUMNS or "." not in column):
        return cell
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f"{location}: {column} must be a number, not {short_repr(cell)}; correct the line or delete it")
    whole = parse_whole_number(cell)
    return value if whole is None else whole


def read_table(file: Path, required: Sequence[str]) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Yield the lines of a CSV file with a header: the location ``FILE:LINE`` for messages, and the cells by column.

    Cells that `facekd.text.csv_cell` made are the text again.

    Args:
        file: the CSV file.
        required: columns that the file must have.

    Raises:
        DataError: the file cannot be read, lacks a required column, or a line has too few or too many cells.
    """
    text = read_text(file, DataError, remedy="restore it or create it again")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(reader, [])
        missing = [column for column in required if header.count(column) != 1]
        if missing or len(set(header)) < len(header):
            raise DataError(f"{path_text(file)}:1: no valid header ({', '.join(required)}, ..., each once); restore "
                            "the file")
        header = [*map(read_csv_cell, header)]
        for cells in reader:
            location = f"{path_text(file)}:{reader.line_num}"
            if len(cells) != len(header):
                raise DataError(f"{location}: {len(cells)} cells in {len(header)} columns; "
                                "correct the line or delete it")
            yield location, dict(zip(header, map(read_csv_cell, cells), strict=True))
    except csv.Error as error:
        raise DataError(f"{path_text(file)}:{reader.line_num}: {error}; correct the line or delete it") from error
