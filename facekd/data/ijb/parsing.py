"""Parsers for the lines of the files of IJB-B and IJB-C."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from facekd.data.containers.path_list import abbreviate
from facekd.data.ijb.protocol import UNKNOWN_SUBJECT, Int32Array, Int64Array
from facekd.data.problems import raise_if_any
from facekd.errors import DataError
from facekd.io.reading import parse_whole_number, reading
from facekd.text import path_text, shorten

AS_PUBLISHED = "use the file as it was published"
ONE_RELEASE = "use files of one release together"
ALIASES = {
    "template": ("TEMPLATE_ID", "TEMPLATE"),
    "subject": ("SUBJECT_ID", "SUBJECT"),
    "name": ("FILENAME", "FILE"),
    "sighting": ("SIGHTING_ID",),
}
"""The columns to read, and their names in the releases of the protocols."""


@dataclass(frozen=True)
class TemplateRows:
    """The rows of a CSV file of templates, one list per column.

    Attributes:
        templates: the template number of each row.
        subjects: the subject number of each row.
        names: the image of each row; empty if the file has no such column.
        sightings: the sighting of each row; empty if the file has no such column.
    """

    templates: list[int] = field(default_factory=list)
    subjects: list[int] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    sightings: list[str] = field(default_factory=list)


@contextmanager
def open_text(path: Path) -> Iterator[TextIO]:
    """Open a text file; names that are not UTF-8 become what Python makes of such file names.

    Raises:
        DataError: the file cannot be read.
    """
    with ExitStack() as stack:
        stack.enter_context(reading(path, remedy=AS_PUBLISHED))
        yield stack.enter_context(path.open(encoding="utf-8-sig", errors="surrogateescape", newline=""))


def parse_int32(word: str) -> int | None:
    """Return the value of a non-negative whole number that fits into int32; None for any other word."""
    number = parse_whole_number(word.strip())
    return number if number is not None and number < 2**31 else None


def read_template_csv(path: Path, needed: Sequence[str]) -> TemplateRows:
    """Read a CSV file with one row per image: its template and its subject; other columns are ignored.

    Args:
        path: UTF-8, with a header.
        needed: the required columns, keys of `ALIASES`; ``template`` and ``subject`` must be among them.

    Raises:
        DataError: a required column is missing, or lines are malformed; the message names the first of them.
    """
    rows = TemplateRows()
    problems: list[str] = []
    with open_text(path) as handle:
        reader = csv.reader(handle)
        header = [word.strip().upper() for word in next(reader, [])]
        column_of = {key: header.index(word) for key, words in ALIASES.items() for word in words if word in header}
        missing = [ALIASES[key][0] for key in needed if key not in column_of]
        if missing:
            raise DataError(f"{path_text(path)}, line 1: the header lacks {', '.join(missing)}; {AS_PUBLISHED}")
        for words in filter(None, reader):
            if not _append_row(rows, words, column_of):
                problems.append(f"line {reader.line_num}: {max(column_of.values()) + 1} columns or more are needed, "
                                "and whole numbers for template and subject")
    raise_if_any(path, problems, AS_PUBLISHED)
    if not rows.subjects:
        raise DataError(f"{path_text(path)} holds no rows; {AS_PUBLISHED}")
    return rows


def _append_row(rows: TemplateRows, words: Sequence[str], column_of: dict[str, int]) -> bool:
    """Append a row of a CSV file; return False if it is malformed."""
    if len(words) <= max(column_of.values()):
        return False
    template = parse_int32(words[column_of["template"]])
    subject = parse_int32(words[column_of["subject"]])
    if template is None or subject is None:
        return False
    rows.templates.append(template)
    rows.subjects.append(subject)
    for key, column in (("name", rows.names), ("sighting", rows.sightings)):
        if key in column_of:
            column.append(words[column_of[key]].strip())
    return True


def read_integers(path: Path, columns: int, delimiter: str | None) -> Int32Array:
    """Read the first columns of a file of whole numbers; a first line without any number is skipped as a header.

    About ten million lines are read per second.

    Args:
        path: the file.
        columns: the number of columns to read; further columns are ignored.
        delimiter: the text between columns; None for whitespace.

    Returns:
        int32 [lines, columns].

    Raises:
        DataError: lines are malformed (the message names the first of them), or there are none.
    """
    with open_text(path) as handle:
        header_lines = 0 if any(parse_int32(word) is not None for word in handle.readline().split(delimiter)) else 1
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # NumPy warns about an empty file, which is refused below
            numbers: Int32Array = np.loadtxt(path, np.int32, comments=None, delimiter=delimiter, skiprows=header_lines,
                                             usecols=range(columns), ndmin=2, encoding="utf-8-sig")
    except (ValueError, OverflowError) as error:
        raise_if_any(path, _malformed_lines(path, columns, delimiter, header_lines), AS_PUBLISHED)
        raise DataError(f"{path_text(path)} cannot be read ({shorten(error)}); {AS_PUBLISHED}") from error
    if not len(numbers):
        raise DataError(f"{path_text(path)} holds no lines of {columns} numbers; {AS_PUBLISHED}")
    return numbers


def _malformed_lines(path: Path, columns: int, delimiter: str | None, header_lines: int) -> list[str]:
    """Return a description of every line that does not begin with ``columns`` whole numbers."""
    problems = []
    with open_text(path) as handle:
        for number, line in enumerate(handle, 1):
            words = line.split(delimiter)[:columns]
            is_valid = len(words) == columns and all(parse_int32(word) is not None for word in words)
            if number > header_lines and line.strip() and not is_valid:
                problems.append(f"line {number}: {columns} whole numbers below 2^31 are needed")
    return problems


def template_indices(ids: Int64Array, wanted: NDArray[np.signedinteger], path: Path, source: Path) -> Int32Array:
    """Convert template numbers to indices into ``ids``.

    Args:
        ids: int64 [templates], ascending.
        wanted: int [any], the template numbers in a file.
        path: the file that contains ``wanted``.
        source: the file or folder that should contain all templates, for the error message.

    Returns:
        int32 [any].

    Raises:
        DataError: ``ids`` lacks some of them; the message names the first.
    """
    indices = np.searchsorted(ids, wanted).astype(np.int32)
    missing = ids[np.minimum(indices, len(ids) - 1)] != wanted
    if missing.any():
        names = [str(name) for name in np.unique(wanted[missing]).tolist()]
        raise DataError(f"{path_text(path)} names {len(names)} templates that {path_text(source)} does not hold: "
                        f"{abbreviate(names)}; {ONE_RELEASE}")
    return indices


def assign_subjects(ids: Int64Array, subjects: Int64Array, templates: NDArray[np.signedinteger],
                    row_subjects: Sequence[int], path: Path) -> None:
    """Set the subjects of templates from the rows of a file.

    Args:
        ids: int64 [templates], the template numbers in the files.
        subjects: int64 [templates], modified in place; `UNKNOWN_SUBJECT` where no earlier file had the subject.
        templates: int [rows], the template of each row, an index into ``ids``.
        row_subjects: [rows], the subject of each row.
        path: the file or folder that contains the rows, for the error message.

    Raises:
        DataError: a template has several subjects.
    """
    assigned = np.array(row_subjects, np.int64)
    previous = subjects[templates]
    subjects[templates] = assigned
    # The second comparison finds templates with several subjects among the rows: only the last one was kept.
    conflicts = ((previous != UNKNOWN_SUBJECT) & (previous != assigned)) | (subjects[templates] != assigned)
    if conflicts.any():
        names = [str(name) for name in np.unique(ids[templates[conflicts]]).tolist()]
        raise DataError(f"{path_text(path)} gives {len(names)} templates to several subjects: {abbreviate(names)}; "
                        f"{ONE_RELEASE}")
