"""Figures of the literature, to stand beside ours."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from facekd.errors import DataError
from facekd.reporting.results.csv_file import read_table

OURS = {"labels": "student", "hint": "fitnet", "kdstd": "kdls", "mlldours": "mlkd"}
"""What the tables of the literature call our methods, where it is not the name itself."""

COLUMNS = ("dataset", "teacher", "student", "method", "top1", "source")


@dataclass(frozen=True)
class Figure:
    """One figure.

    Attributes:
        top1: the top-1 rate in percent, as it was printed.
        source: where.
    """

    top1: str
    source: str


def read_published(file: Path, dataset: str, teacher: str, student: str) -> dict[str, Figure]:
    """The figures published for a pair, by method as `plain` writes it; none where there is no such file.

    Args:
        file: CSV ``dataset,teacher,student,method,top1,source``, with the names our registry has for the networks.
        dataset: of the pair.
        teacher: its architecture.
        student: its architecture.

    Raises:
        DataError: the file is damaged; the message names the line.
    """
    found: dict[str, Figure] = {}
    for place, cells in read_table(file, COLUMNS) if file.exists() else ():
        try:
            float(cells["top1"])
        except ValueError:
            raise DataError(f"{place}: top1 must be a number, not '{cells['top1']}'; mend the line") from None
        if (cells["dataset"], cells["teacher"], cells["student"]) == (dataset, teacher, student):
            found[plain(cells["method"])] = Figure(cells["top1"], cells["source"])
    return found


def plain(method: str) -> str:
    """A method's name as it is compared: ``kd-std`` is printed KD+LS, and what we call labels is called student."""
    letters = "".join(filter(str.isalnum, method.lower()))
    return OURS.get(letters, letters)
