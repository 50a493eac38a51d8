"""How the lines of the files of IJB-B and IJB-C are read, and what is said where they are wrong."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from facekd.data.containers.path_list import some
from facekd.data.ijb.protocol import UNKNOWN, Indices, Ints
from facekd.errors import DataError

AS_PUBLISHED = "use the file as it was published"
ONE_RELEASE = "use files of one release together"
ALIASES = {
    "template": ("TEMPLATE_ID", "TEMPLATE"),
    "subject": ("SUBJECT_ID", "SUBJECT"),
    "name": ("FILENAME", "FILE"),
    "sighting": ("SIGHTING_ID",),
}
"""The columns that are read, and what releases of the protocols call them."""


@dataclass(frozen=True)
class TemplateRows:
    """The rows of a CSV file of templates, columns of one length; ``name`` and ``sighting`` are empty if not there."""

    template: list[int] = field(default_factory=list)
    subject: list[int] = field(default_factory=list)
    name: list[str] = field(default_factory=list)
    sighting: list[str] = field(default_factory=list)


@contextmanager
def opened(path: Path) -> Iterator[TextIO]:
    """Open a text file; bytes that are no UTF-8 come out as marks that no number contains.

    Raises:
        DataError: it cannot be read.
    """
    try:
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as handle:
            yield handle
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); check the path") from error


def whole(word: str) -> bool:
    """Whether a word is a whole number that int32 holds."""
    return word.strip().isdecimal() and int(word) < 2**31


def read_template_csv(path: Path, needed: Sequence[str]) -> TemplateRows:
    """Read a CSV file with a row an image, its template and its subject; columns of other names are not looked at.

    Args:
        path: UTF-8, with a header.
        needed: keys of `ALIASES` that must be there, ``template`` and ``subject`` among them.

    Raises:
        DataError: a column of ``needed`` is missing, or a line is wrong; the first problems are named by line.
    """
    rows, problems = TemplateRows(), []
    with opened(path) as handle:
        reader = csv.reader(handle)
        header = [word.strip().upper() for word in next(reader, [])]
        place = {key: header.index(word) for key, words in ALIASES.items() for word in words if word in header}
        missing = [ALIASES[key][0] for key in needed if key not in place]
        if missing:
            raise DataError(f"{path}, line 1: the header lacks {', '.join(missing)}; {AS_PUBLISHED}")
        last = max(place.values())
        try:
            for words in filter(None, reader):
                if len(words) <= last or not (whole(words[place["template"]]) and whole(words[place["subject"]])):
                    problems.append(f"line {reader.line_num}: {last + 1} columns or more are needed, and whole numbers "
                                    "for template and subject")
                    continue
                rows.template.append(int(words[place["template"]]))
                rows.subject.append(int(words[place["subject"]]))
                for key, column in (("name", rows.name), ("sighting", rows.sighting)):
                    if key in place:
                        column.append(words[place[key]].strip())
        except csv.Error as error:
            raise DataError(f"{path}, after line {reader.line_num}: {error}; {AS_PUBLISHED}") from error
    refuse(path, problems)
    if not rows.subject:
        raise DataError(f"{path} holds no rows; {AS_PUBLISHED}")
    return rows


def read_numbers(path: Path, columns: int, delimiter: str | None) -> Indices:
    """Read the first columns of a file of whole numbers; a first line without any is passed over as a header.

    Args:
        path: some ten million lines a second are read.
        columns: how many; further ones are not looked at.
        delimiter: between columns; None for blanks.

    Returns:
        int32 [lines, columns].

    Raises:
        DataError: lines are wrong (the first are named), or there are none.
    """
    with opened(path) as handle:
        skip = 0 if any(whole(word) for word in handle.readline().split(delimiter)) else 1
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that it is empty is said below
            numbers: Indices = np.loadtxt(path, np.int32, comments=None, delimiter=delimiter, skiprows=skip,
                                          usecols=range(columns), ndmin=2, encoding="utf-8-sig")
    except ValueError as error:
        with opened(path) as handle:
            refuse(path, [f"line {number}: {columns} whole numbers below 2^31 are needed"
                          for number, line in enumerate(handle, 1)
                          if number > skip and line.strip() and not _fits(line.split(delimiter), columns)])
        raise DataError(f"{path} cannot be read ({error}); {AS_PUBLISHED}") from error
    if not len(numbers):
        raise DataError(f"{path} holds no lines of {columns} numbers; {AS_PUBLISHED}")
    return numbers


def indices_of(ids: Ints, wanted: NDArray[np.signedinteger], path: Path, where: Path) -> Indices:
    """The places of template ids among ``ids``.

    Args:
        ids: rising.
        wanted: int [any], ids that a file names.
        path: that file.
        where: the file that should hold them.

    Returns:
        int32 [any].

    Raises:
        DataError: some are not there; the first are named.
    """
    found = np.searchsorted(ids, wanted).astype(np.int32)
    absent = ids[np.minimum(found, len(ids) - 1)] != wanted
    if absent.any():
        names = [str(name) for name in np.unique(wanted[absent]).tolist()]
        raise DataError(
            f"{path} names {len(names)} templates that {where} does not hold: {some(names)}; "
            + ONE_RELEASE
        )
    return found


def _fits(words: Sequence[str], columns: int) -> bool:
    return len(words) >= columns and all(whole(word) for word in words[:columns])


def set_subjects(ids: Ints, subjects: Ints, template: NDArray[np.signedinteger], subject: Sequence[int],
                 path: Path) -> None:
    """Note whom templates show.

    Args:
        ids: int64 [templates], what the files call the templates.
        subjects: int64 [templates], written to; `UNKNOWN` where nothing was known.
        template: int [rows], which template.
        subject: [rows], who it is.
        path: the file that says so.

    Raises:
        DataError: a template is given to two subjects.
    """
    said = np.array(subject, np.int64)
    known = subjects[template]
    subjects[template] = said
    clash = np.flatnonzero(((known != UNKNOWN) & (known != said)) | (subjects[template] != said))
    if len(clash):
        names = [str(name) for name in np.unique(ids[template[clash]]).tolist()]
        raise DataError(f"{path} gives {len(names)} templates to several subjects: {some(names)}; {ONE_RELEASE}")


def refuse(path: Path, problems: Sequence[str]) -> None:
    """Raise a `DataError` where there are problems with a file."""
    if problems:
        raise DataError(f"{path} has {len(problems)} wrong lines: {some(problems)}; {AS_PUBLISHED}")
