"""The CSV files that collect the rows of runs: a line is written as each run ends, whoever else writes at that time."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from facekd.errors import DataError
from facekd.reporting.results.rows import FACTS, Row
from facekd.utils import files

try:
    import fcntl
except ImportError:  # Windows has none; there, let one process write at a time
    fcntl = None  # type: ignore[assignment]

KEY = ("name", "seed")
NUMBERS = ("seed", "parameters", "images", "classes", "stages", "epochs", "minutes")


def upsert(file: Path, rows: Sequence[Row]) -> None:
    """Write rows into a CSV; a row of the same name and seed is replaced as a whole, all others are kept.

    Columns are united, rows sorted by name and seed, the file is never seen half-written, and two processes that
    write at once (on a system with ``fcntl``) both find their rows in it.

    Raises:
        DataError: the file is damaged, one name and seed is given twice, or stands there for another model or training
            set.
        SetupError: the disk is full; the file is as it was.
    """
    given = {_key(row): row for row in rows}
    if len(given) < len(rows):
        raise DataError(f"{file}: two of the given runs have one name and seed; write them into different files")
    with _alone(file):
        kept = {_key(row): row for row in (read_rows(file) if file.exists() else [])}
        for key, new in given.items():
            if key in kept and any(kept[key].get(column) != new.get(column) for column in ("model", "data_sha256")):
                raise DataError(
                    f"{file}: {key[0]}, seed {key[1]:g}, stands there already for another model or training set; "
                    "give another file, or delete that line"
                )
        files.write_text(file, _csv([row for _, row in sorted({**kept, **given}.items())]))


def _key(row: Row) -> tuple[str, float]:
    return str(row["name"]), float(row["seed"])


@contextmanager
def _alone(file: Path) -> Iterator[None]:
    """Hold the lock file beside ``file``."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.with_name(f".{file.name}.lock").open("w", encoding="utf-8") as lock:
        if fcntl is not None:
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _csv(rows: Sequence[Row]) -> str:
    found = {column for row in rows for column in row}
    out = io.StringIO()
    writer = csv.DictWriter(out, [*FACTS, *sorted(found - set(FACTS))], restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def read_rows(file: Path) -> list[Row]:
    """The rows of a CSV that `upsert` wrote; empty cells have no entry.

    Raises:
        DataError: the file is absent or damaged; the message names the line.
    """
    found: dict[tuple[str, float], Row] = {}
    for place, cells in read_table(file, KEY):
        row = {column: _value(place, column, cell) for column, cell in cells.items() if cell or column in KEY}
        if found.setdefault(_key(row), row) is not row:
            raise DataError(f"{place}: a second row of {row['name']}, seed {row['seed']}; delete one of them")
    return list(found.values())


def _value(place: str, column: str, cell: str) -> str | float:
    if column not in NUMBERS and (column in FACTS or "." not in column):
        return cell
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f"{place}: {column} must be a number, not '{cell}'; mend the line or delete it")
    return int(cell) if cell.isdecimal() else value


def read_table(file: Path, needed: Sequence[str]) -> Iterator[tuple[str, Mapping[str, str]]]:
    """The lines of a CSV with headings: the place for messages, ``FILE:LINE``, and the cells by heading.

    Raises:
        DataError: the file cannot be read, lacks a heading of ``needed``, or a line has too few or too many cells.
    """
    try:
        with file.open(encoding="utf-8", newline="") as handle:
            reader = csv.reader(handle, strict=True)
            head = next(reader, [])
            lacking = [column for column in needed if head.count(column) != 1]
            if lacking or len(set(head)) < len(head):
                raise DataError(f"{file}:1: no proper headings ({', '.join(needed)}, ..., each once); restore the file")
            for cells in reader:
                place = f"{file}:{reader.line_num}"
                if len(cells) != len(head):
                    raise DataError(f"{place}: {len(cells)} cells under {len(head)} headings; mend or delete the line")
                yield place, dict(zip(head, cells, strict=True))
    except csv.Error as error:
        raise DataError(f"{file}:{reader.line_num}: {error}; mend the line or delete it") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file} cannot be read ({error}); restore it or make it again") from error
