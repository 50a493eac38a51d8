"""The table of a result set: one row per method, with differences from a baseline and published figures."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from facekd.reporting import formatting
from facekd.reporting.results.published import PublishedFigure, normalize_method_name
from facekd.reporting.results.rows import Row

METRIC_TITLES = {"accuracy": "accuracy", "tar@1e-2": "TAR@FAR 1e-2", "rank1": "rank 1", "top1": "top-1",
                 "top5": "top-5", "ece": "ECE", "agreement": "agreement", "kl": "KL"}
"""The metrics of the table, in its order."""
COMPARED_METRICS = ("accuracy", "rank1", "top1", "kl")
"""The metrics whose difference from the baseline has a column."""

Groups = Mapping[str, Sequence[Row]]
"""The rows of a result set by method."""


def method_table(groups: Groups, baseline: str, published: Mapping[str, PublishedFigure],
                 not_comparable: str) -> tuple[list[str], list[list[str]]]:
    """Return the header and the rows of the table.

    Args:
        groups: the rows by method, in the order of the table.
        baseline: the method from which the differences are taken; empty for a table without differences.
        published: the published figures of the pair of networks by normalized method name.
        not_comparable: the reason why published figures are not comparable; empty if they are.
    """
    all_columns = {column for rows in groups.values() for row in rows for column in row}
    columns = sorted((column for column in all_columns if metric_name(column) in METRIC_TITLES),
                     key=lambda column: (test_name(column), [*METRIC_TITLES].index(metric_name(column))))
    # Only top-1 has published figures; other metrics get no column for them.
    with_published = any(metric_name(column) == "top1" for column in columns)
    published_baseline = published.get(normalize_method_name(baseline)) if with_published and baseline else None
    header = ["method", "model", "epochs", "seeds"]
    for column in columns:
        header.append(f"{test_name(column)} {METRIC_TITLES[metric_name(column)]}")
        if metric_name(column) in COMPARED_METRICS and baseline:
            header.append(f"minus {baseline}")
    if with_published:
        header.append("published top-1")
    if published_baseline:
        header.append(f"published minus {baseline}")
    header.append("comparable")
    body = []
    for name, rows in groups.items():
        facts = (", ".join(distinct_values(rows, column)) or formatting.MISSING for column in ("model", "epochs"))
        cells = [name, *facts, str(len(rows))]
        for column in columns:
            cells.append(_metric_cell(rows, column))
            if metric_name(column) in COMPARED_METRICS and baseline:
                cells.append(_difference_cell(rows, groups.get(baseline, []), column))
        figure = published.get(normalize_method_name(name))
        if with_published:
            cells.append(figure.top1 if figure else formatting.MISSING)
        if published_baseline:
            difference = float(figure.top1) - float(published_baseline.top1) if figure else None
            cells.append(formatting.MISSING if difference is None else f"{difference:+.2f}")
        body.append([*cells, _comparable_cell(figure, not_comparable)])
    return header, body


def _comparable_cell(figure: PublishedFigure | None, not_comparable: str) -> str:
    if not_comparable:
        return f"no: {not_comparable}"
    return "yes" if figure else "no: nothing published"


def test_name(column: str) -> str:
    """Return the test of a column ``TEST.METRIC``."""
    return column.rpartition(".")[0]


def metric_name(column: str) -> str:
    """Return the metric of a column ``TEST.METRIC``; empty for the column of a fact."""
    return column.rpartition(".")[2] if "." in column else ""


def distinct_values(rows: Sequence[Row], column: str) -> list[str]:
    """Return the different values of a column as text, sorted."""
    values = {row[column] for row in rows if column in row}
    return [f"{value:g}" if isinstance(value, float) else str(value) for value in sorted(values, key=str)]


def _metric_cell(rows: Sequence[Row], column: str) -> str:
    """Return a metric of one method: the mean and standard deviation over seeds, or one value and its interval."""
    values = [float(row[column]) for row in rows if column in row]
    if not values:
        return formatting.MISSING
    if len(rows) == 1:
        ends = [float(rows[0][f"{column}_{end}"]) for end in ("low", "high") if f"{column}_{end}" in rows[0]]
        return formatting.with_interval(values[0], ends or None)
    spread = f" ± {formatting.percent(statistics.stdev(values))}" if len(values) > 1 else ""
    return f"{formatting.percent(statistics.fmean(values))}{spread}{_seed_count(values, rows)}"


def _difference_cell(rows: Sequence[Row], baseline_rows: Sequence[Row], column: str) -> str:
    """Return the mean difference from the baseline over common seeds in points, and its standard error."""
    if not baseline_rows or rows[0]["name"] in (baseline_rows[0]["name"], "teacher"):
        return formatting.MISSING
    by_seed = {row["seed"]: float(row[column]) for row in baseline_rows if column in row}
    differences = [float(row[column]) - by_seed[row["seed"]]
                   for row in rows if column in row and row["seed"] in by_seed]
    if not differences:
        return formatting.MISSING
    error = ""
    if len(differences) > 1:
        error = f" ± {formatting.percent(statistics.stdev(differences) / len(differences) ** 0.5)}"
    return f"{100 * statistics.fmean(differences):+.2f}{error}{_seed_count(differences, rows)}"


def _seed_count(values: Sequence[float], rows: Sequence[Row]) -> str:
    """Return the number of values if some of the rows have none."""
    return f" (n = {len(values)})" if len(values) < len(rows) else ""
