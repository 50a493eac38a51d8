"""Figures from the literature, for comparison with results of this package."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from facekd.errors import DataError
from facekd.reporting.results.csv_file import read_table
from facekd.text import short_repr

COLUMNS = ("dataset", "teacher", "student", "method", "top1", "source")
PUBLISHED_NAMES = {"labels": "student", "hint": "fitnet", "kdstd": "kdls", "mlldours": "mlkd"}
"""The names of methods in the literature by their normalized names in this package, where the two differ."""


@dataclass(frozen=True)
class PublishedFigure:
    """One published figure.

    Attributes:
        top1: the top-1 rate in percent, as printed.
        source: the publication.
    """

    top1: str
    source: str


def read_published(file: Path, dataset: str, teacher: str, student: str) -> dict[str, PublishedFigure]:
    """Return the published figures of one teacher and student, by method as `normalize_method_name` writes it.

    Args:
        file: a CSV file ``dataset,teacher,student,method,top1,source`` with registry names of the networks; a file that
            does not exist has no figures.
        dataset: the dataset of the pair.
        teacher: the architecture of the teacher.
        student: the architecture of the student.

    Raises:
        DataError: the file is damaged; the message names the line.
    """
    figures: dict[str, PublishedFigure] = {}
    for location, cells in read_table(file, COLUMNS) if file.exists() else ():
        try:
            float(cells["top1"])
        except ValueError:
            value = short_repr(cells["top1"])
            raise DataError(f"{location}: top1 must be a number, not {value}; correct the line") from None
        if (cells["dataset"], cells["teacher"], cells["student"]) == (dataset, teacher, student):
            figures[normalize_method_name(cells["method"])] = PublishedFigure(cells["top1"], cells["source"])
    return figures


def normalize_method_name(method: str) -> str:
    """Return a method name in the form for comparisons: lower case letters and digits, as the literature calls it.

    For example ``kd-std`` is ``kdls`` (printed KD+LS), and ``labels`` is ``student``.
    """
    letters = "".join(filter(str.isalnum, method.lower()))
    return PUBLISHED_NAMES.get(letters, letters)
