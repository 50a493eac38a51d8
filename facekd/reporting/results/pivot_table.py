"""The table of a result set whose runs differ in a condition: a row per method and a column per condition.

A condition is a number of epochs, a problem, a temperature, ... The description of the set contains a pattern for the
names of its runs, whose groups ``row`` and ``column`` are the method and the condition. Runs with the same method and
condition are pooled.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Mapping, Sequence

from facekd.errors import DataError
from facekd.reporting import formatting
from facekd.reporting.results.method_table import metric_name
from facekd.reporting.results.rows import Row

METRICS = ("top1", "accuracy")
"""The metric of the table is the first of these that the rows have."""
ALL = "*"
"""The key of a column for the runs of all conditions together."""

Cells = Mapping[tuple[str, str], Mapping[tuple[str, float], float]]
"""By method and condition: the figure of every run, by the rest of its name and its seed."""


def pivot_tables(rows: Sequence[Row], pattern: str, columns: Mapping[str, str], baseline: str
                 ) -> tuple[list[list[str]], list[list[str]]]:
    """Return the table of the figures, and that of the differences from the baseline; the first line is the header.

    A figure is the mean ± standard deviation of a cell's runs in percent. A difference is paired: its runs have the
    same condition, seed and rest of the name; it is their mean ± its standard error, in points.

    Args:
        rows: the rows of the set; those whose name does not match the pattern are left out.
        pattern: a regular expression of the whole name with the groups ``row`` and ``column``; a ``column`` that takes
            no part in the match is the empty string.
        columns: the titles of the conditions, in the order of the table; `ALL` is the column of all of them.
        baseline: the method from which the differences are taken.

    Raises:
        DataError: the pattern is no regular expression, or lacks a group.
    """
    cells = collect_cells(rows, pattern, columns)
    methods = sort_methods(cells, baseline)
    header = ["method", *columns.values()]
    figures = [header, *([method, *(_figure(cells.get((method, column), {})) for column in columns)]
                         for method in methods)]
    differences = [["difference from " + baseline, *columns.values()]]
    for method in methods:
        if method != baseline:
            pairs = [(cells.get((method, column), {}), cells.get((baseline, column), {})) for column in columns]
            differences.append([method, *(_difference(values, base) for values, base in pairs)])
    return figures, differences


def collect_cells(rows: Sequence[Row], pattern: str, columns: Mapping[str, str]) -> Cells:
    """Return the figures of all runs by method and condition, see `pivot_tables`.

    Raises:
        DataError: the pattern is no regular expression, or lacks a group.
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise DataError(f"pivot: '{pattern}' is no regular expression ({error})") from error
    if missing := {"row", "column"} - set(compiled.groupindex):
        raise DataError(f"pivot: '{pattern}' lacks the group {', '.join(sorted(missing))}")
    names = {metric_name(column): column for row in rows for column in row}
    metric = next((names[name] for name in METRICS if name in names), "")
    cells: dict[tuple[str, str], dict[tuple[str, float], float]] = {}
    for row in rows:
        match = compiled.fullmatch(str(row["name"]))
        if match is None or metric not in row:
            continue
        method, condition = match["row"], match["column"] or ""
        rest = str(row["name"])[: match.start("row")] + str(row["name"])[match.end("row") :]
        for column in {condition, ALL} & set(columns):
            cells.setdefault((method, column), {})[rest, float(row["seed"])] = float(row[metric])
    return cells


def sort_methods(cells: Cells, baseline: str) -> list[str]:
    """Return the methods in the order of a table: labels and the baseline first."""
    return sorted({method for method, _ in cells}, key=lambda name: (name != "labels", name != baseline, name))


def _figure(values: Mapping[tuple[str, float], float]) -> str:
    if not values:
        return formatting.MISSING
    mean = formatting.percent(statistics.fmean(values.values()))
    spread = f" ± {formatting.percent(statistics.stdev(values.values()))}" if len(values) > 1 else ""
    return f"{mean}{spread} (n = {len(values)})"


def _difference(values: Mapping[tuple[str, float], float], baseline: Mapping[tuple[str, float], float]) -> str:
    differences = [value - baseline[run] for run, value in values.items() if run in baseline]
    if not differences:
        return formatting.MISSING
    error = ""
    if len(differences) > 1:
        error = f" ± {formatting.percent(statistics.stdev(differences) / len(differences) ** 0.5)}"
    return f"{100 * statistics.fmean(differences):+.2f}{error} (n = {len(differences)})"
