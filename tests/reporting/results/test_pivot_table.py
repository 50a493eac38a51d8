from __future__ import annotations

import statistics

import pytest

from facekd.errors import DataError
from facekd.reporting.results.pivot_table import ALL, pivot_tables
from facekd.reporting.results.rows import Row
from tests.reporting.results.example_rows import a_row

PATTERN = r"p\d-(?P<row>.+?)(?P<column>-e\d+)?"
COLUMNS = {"": "8 epochs", "-e16": "16 epochs"}
TOP1 = {
    ("p0-kd", 0): 0.50, ("p0-kd", 1): 0.54, ("p1-kd", 0): 0.60, ("p0-rco", 0): 0.90, ("p0-rco", 1): 1.0,
    ("p1-rco", 0): 0.97, ("p0-kd-e16", 0): 0.96, ("p0-rco-e16", 0): 0.99, ("p0-rco-e16", 1): 0.98,
    ("p0-labels", 0): 0.5,
}
ROWS: list[Row] = [a_row(name, seed, top1) for (name, seed), top1 in TOP1.items()]


def test_runs_of_a_method_and_a_condition_are_pooled() -> None:
    figures, _ = pivot_tables([*ROWS, a_row("p0-teacher", 0, None), a_row("other", 0, 0.1)], PATTERN, COLUMNS, "kd")
    assert figures[0] == ["method", "8 epochs", "16 epochs"]
    assert [line[0] for line in figures[1:]] == ["labels", "kd", "rco"]
    values = [50.0, 54.0, 60.0]
    assert figures[2] == ["kd", f"{statistics.fmean(values):.2f} ± {statistics.stdev(values):.2f} (n = 3)",
                          "96.00 (n = 1)"]
    assert figures[1] == ["labels", "50.00 (n = 1)", "–"]


def test_differences_are_paired_by_condition_seed_and_the_rest_of_the_name() -> None:
    _, differences = pivot_tables(ROWS, PATTERN, COLUMNS, "kd")
    pairs = [40.0, 46.0, 37.0]
    error = statistics.stdev(pairs) / 3**0.5
    assert differences == [
        ["difference from kd", "8 epochs", "16 epochs"], ["labels", "+0.00 (n = 1)", "–"],
        ["rco", f"+{statistics.fmean(pairs):.2f} ± {error:.2f} (n = 3)", "+3.00 (n = 1)"],
    ]


def test_a_column_of_all_conditions() -> None:
    pattern = r"(?P<column>p\d)-(?P<row>[a-z]+)"
    figures, differences = pivot_tables(ROWS, pattern, {ALL: "all", "p1": "problem 1"}, "kd")
    assert figures[2][1].endswith("(n = 3)") and figures[2][2] == "60.00 (n = 1)"
    assert differences[2][0] == "rco" and differences[2][1].endswith("(n = 3)")


def test_without_figures_there_are_no_methods() -> None:
    figures, differences = pivot_tables([a_row("p0-kd", 0, None)], PATTERN, COLUMNS, "kd")
    assert (len(figures), len(differences)) == (1, 1)


@pytest.mark.parametrize(("pattern", "message"), [
    ("(?P<row>", "no regular expression"), ("(?P<row>.+)", "lacks the group column"), (".+", "group column, row"),
])
def test_a_mistake_in_the_pattern_is_named(pattern: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        pivot_tables(ROWS, pattern, COLUMNS, "kd")
