from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from facekd.reporting.results.method_table import distinct_values, method_table, metric_name
from facekd.reporting.results.method_table import test_name as name_of_test
from facekd.reporting.results.published import PublishedFigure
from facekd.reporting.results.rows import Row
from tests.reporting.results.example_rows import KD, RCO, ROWS, a_row

PUBLISHED = {"teacher": PublishedFigure("72.34", "a"), "student": PublishedFigure("69.06", "a"),
             "kd": PublishedFigure("70.60", "b")}


def cells(rows: list[Row], baseline: str = "kd", published: Mapping[str, PublishedFigure] = PUBLISHED,
          not_comparable: str = "") -> dict[str, dict[str, str]]:
    """The cells of the table by method and column."""
    names = dict.fromkeys(str(row["name"]) for row in rows)
    groups = {name: [row for row in rows if row["name"] == name] for name in names}
    header, body = method_table(groups, baseline, published, not_comparable)
    return {line[0]: dict(zip(header, line, strict=True)) for line in body}


def test_mean_and_deviation_over_seeds() -> None:
    table = cells(ROWS)["kd"]
    assert table["t top-1"] == f"{100 * np.mean(KD):.2f} ± {100 * np.std(KD, ddof=1):.2f}" and table["seeds"] == "3"


def test_one_seed_shows_its_own_interval() -> None:
    assert cells(ROWS)["labels"]["t top-1"] == "69.00 [68.00, 70.00]"


def test_the_difference_is_taken_seed_by_seed() -> None:
    more = 100 * (np.array(RCO) - KD)
    assert cells(ROWS)["rco"]["minus kd"] == f"{more.mean():+.2f} ± {more.std(ddof=1) / 3**0.5:.2f}"


def test_the_difference_needs_seeds_in_common() -> None:
    table = cells([*ROWS[2:5], a_row("rco", 1, 0.722), a_row("rco", 9, 0.8), a_row("x", 7, 0.9)])
    assert table["rco"]["minus kd"] == "+1.00 (n = 1)" and table["x"]["minus kd"] == "–"


def test_the_baseline_and_the_teacher_have_no_difference() -> None:
    table = cells(ROWS)
    assert table["kd"]["minus kd"] == table["teacher"]["minus kd"] == "–" and table["labels"]["minus kd"] == "-1.10"


def test_without_a_baseline_there_is_no_difference() -> None:
    assert [column for column in cells(ROWS, baseline="")["rco"] if "minus" in column] == []


def test_the_kl_from_the_teacher_is_compared_in_hundredths_of_a_nat() -> None:
    rows = [{**a_row(name, 0, None), "test.kl": kl} for name, kl in (("kd", 0.25), ("rco", 0.2))]
    table = cells(rows)["rco"]
    assert (table["test KL"], table["minus kd"]) == ("20.00", "-5.00")


def test_every_row_says_whether_it_is_comparable() -> None:
    verdicts = {name: line["comparable"] for name, line in cells(ROWS).items()}
    assert verdicts == {"teacher": "yes", "labels": "yes", "kd": "yes", "rco": "no: nothing published"}
    assert {line["comparable"] for line in cells(ROWS, not_comparable="30 epochs").values()} == {"no: 30 epochs"}


def test_published_figures_and_their_difference_from_the_baseline() -> None:
    table = cells(ROWS)
    assert (table["labels"]["published top-1"], table["labels"]["published minus kd"]) == ("69.06", "-1.54")
    assert (table["rco"]["published top-1"], table["rco"]["published minus kd"]) == ("–", "–")


def test_a_seed_without_a_result_is_counted() -> None:
    rows = [a_row("kd", 0, 0.7), a_row("kd", 1, 0.72), a_row("kd", 2, None)]
    assert cells(rows)["kd"]["t top-1"] == "71.00 ± 1.41 (n = 2)"


def test_a_metric_that_nobody_measured_is_a_dash() -> None:
    rows: list[Row] = [a_row("kd", 0, 0.7), a_row("rco", 0, None)]
    assert (cells(rows)["rco"]["t top-1"], cells(rows)["rco"]["minus kd"]) == ("–", "–")


@pytest.mark.parametrize(("column", "test", "metric"), [
    ("cfp.tar@1e-2", "cfp", "tar@1e-2"), ("a.b.top1", "a.b", "top1"), ("epochs", "", ""),
])
def test_a_column_is_split_at_its_last_dot(column: str, test: str, metric: str) -> None:
    assert (name_of_test(column), metric_name(column)) == (test, metric)


def test_distinct_values_are_sorted_text() -> None:
    rows: list[Row] = [{"epochs": 240.0}, {"epochs": 30.0}, {"epochs": 240.0}, {}]
    assert distinct_values(rows, "epochs") == ["240", "30"]
