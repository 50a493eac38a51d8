from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from facekd.errors import DataError, RecipeError
from facekd.reporting.results.csv_file import upsert
from facekd.reporting.results.result_set import pivot_picture, result_section, results_page
from facekd.reporting.results.rows import Row
from tests.reporting.results.example_rows import KD, ROWS, a_row

ABOUT = {"title": "A pair", "dataset": "cifar100", "teacher": "resnet56", "student": "resnet20", "comparable": True}
PUBLISHED = """dataset,teacher,student,method,top1,source
cifar100,resnet56,resnet20,teacher,72.34,One README
cifar100,resnet56,resnet20,student,69.06,One README
cifar100,resnet56,resnet20,KD,70.60,One README
cifar100,resnet56,resnet20,KD+LS,71.43,Another README
cifar100,resnet110,resnet20,KD,70.67,Yet another README
"""


def a_set(folder: Path, rows: list[Row], **about: object) -> Path:
    runs, published = folder / "runs", folder / "published"
    published.mkdir(exist_ok=True)
    (published / "classes.csv").write_text(PUBLISHED)
    upsert(runs / "pair-cpu2.csv", rows)
    (runs / "pair-cpu2.yaml").write_text(yaml.safe_dump({**ABOUT, **about}))
    return runs / "pair-cpu2.csv"


def cells(file: Path) -> dict[str, dict[str, str]]:
    lines = [line.strip("| ").split(" | ") for line in result_section(file).splitlines() if line.startswith("|")]
    return {line[0]: dict(zip(lines[0], line, strict=True)) for line in lines[2:]}


def test_faces_are_compared_with_mimic(tmp_path: Path) -> None:
    rows: list[Row] = [a_row(n, 0, None, **{"c.accuracy": v}) for n, v in (("mimic", 0.8), ("rco", 0.81))]
    table = cells(a_set(tmp_path, rows))["rco"]
    assert table["minus mimic"] == "+1.00" and "published top-1" not in table


def test_another_baseline_can_be_named(tmp_path: Path) -> None:
    assert cells(a_set(tmp_path, ROWS, baseline="labels"))["rco"]["minus labels"] == "+3.20 (n = 1)"


def test_teacher_labels_and_baseline_come_first(tmp_path: Path) -> None:
    rows = [*ROWS, a_row("at", 0, 0.7)]
    assert list(cells(a_set(tmp_path, rows))) == ["teacher", "labels", "kd", "at", "rco"]


def test_published_figures_of_the_pair_have_a_column_with_their_source(tmp_path: Path) -> None:
    file = a_set(tmp_path, [*ROWS, a_row("kd_ls", 0, 0.71)])
    table = {name: line["published top-1"] for name, line in cells(file).items()}
    assert table == {"teacher": "72.34", "labels": "69.06", "kd": "70.60", "kd_ls": "71.43", "rco": "–"}
    assert "Published for cifar100, resnet56 to resnet20: Another README, One README." in result_section(file)


def test_the_published_difference_from_the_baseline_has_a_column(tmp_path: Path) -> None:
    table = {name: line["published minus kd"] for name, line in cells(a_set(tmp_path, ROWS)).items()}
    assert table == {"teacher": "+1.74", "labels": "-1.54", "kd": "+0.00", "rco": "–"}


def test_what_is_not_comparable_says_why(tmp_path: Path) -> None:
    table = cells(a_set(tmp_path, ROWS, comparable=False, why="30 epochs, not 240"))
    assert {line["comparable"] for line in table.values()} == {"no: 30 epochs, not 240"}


def test_another_data_set_has_no_published_figure_and_says_so(tmp_path: Path) -> None:
    file = a_set(tmp_path, ROWS, dataset="tiny100")
    assert {line["published top-1"] for line in cells(file).values()} == {"–"}
    assert "No published figures for tiny100, resnet56 to resnet20." in result_section(file)


def test_a_set_without_a_description_claims_nothing(tmp_path: Path) -> None:
    file = a_set(tmp_path, ROWS)
    file.with_suffix(".yaml").unlink()
    assert cells(file)["kd"]["comparable"] == "no: the conditions were not written down"


@pytest.mark.parametrize(("column", "value"), [("epochs", 30.0), ("hardware", "h200x1"), ("losses", "kd 1")])
def test_seeds_under_other_conditions_are_warned_of(tmp_path: Path, column: str, value: str | float) -> None:
    rows = [a_row("kd", seed, top1, **{"losses": "kd 0.9"}) for seed, top1 in enumerate(KD)]
    rows[1][column] = value
    assert f"**kd**: its seeds differ in {column}" in result_section(a_set(tmp_path, rows))


def test_rows_measured_on_other_data_are_warned_of(tmp_path: Path) -> None:
    text = result_section(a_set(tmp_path, [*ROWS, a_row("x", 0, 0.7, **{"t.images": 100})]))
    assert "**t: 100 and 10,000 images**: the rows were not measured on the same data" in text


def test_the_page_has_a_section_a_set_and_none_of_the_published_file(tmp_path: Path) -> None:
    a_set(tmp_path, ROWS, text="Some words.", command="recipes/x.sh", protocol="240 epochs")
    upsert(tmp_path / "runs" / "zz.csv", [a_row("kd", 0, 0.7)])
    page = results_page(tmp_path)
    assert [line for line in page.splitlines() if line.startswith("#")] == ["# Results", "## A pair", "## zz"]
    assert "Some words." in page and "```sh\nrecipes/x.sh\n```" in page and "Protocol: 240 epochs" in page


def test_a_mistake_in_the_description_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="unknown key 'tittle'; did you mean 'title'"):
        result_section(a_set(tmp_path, ROWS, tittle="x"))


def test_a_damaged_published_figure_is_named_by_its_line(tmp_path: Path) -> None:
    file = a_set(tmp_path, ROWS)
    (tmp_path / "published" / "classes.csv").write_text(PUBLISHED.replace("71.43", "about 71"))
    with pytest.raises(DataError, match=r"classes\.csv:5: top1 must be a number"):
        result_section(file)


def test_a_set_with_a_pivot_has_a_column_per_condition_and_rows_of_other_sets(tmp_path: Path) -> None:
    a_set(tmp_path, [a_row("kd", 0, 0.7), a_row("rco", 0, 0.71)])
    upsert(tmp_path / "runs" / "budgets-cpu2.csv", [a_row("kd-e4", 0, 0.5), a_row("rco-e4", 0, 0.6)])
    about = {"title": "Budgets", "text": "A text.", "pivot": "(?P<row>.+?)(?P<column>-e4)?", "also": ["pair-cpu2.csv"],
             "columns": {"-e4": "4 epochs", "": "8 epochs"}}
    (tmp_path / "runs" / "budgets-cpu2.yaml").write_text(yaml.safe_dump(about, sort_keys=False))
    section = result_section(tmp_path / "runs" / "budgets-cpu2.csv")
    assert section.startswith("A text.\n\n| method | 4 epochs | 8 epochs |\n| --- | --- | --- |\n")
    assert "| rco | 60.00 (n = 1) | 71.00 (n = 1) |\n" in section
    assert "| rco | +10.00 (n = 1) | +1.00 (n = 1) |\n" in section
    assert "Trained on cifar/train (50000 images of 100 classes" in section


def test_a_set_with_a_pivot_has_a_picture(tmp_path: Path) -> None:
    file = a_set(tmp_path, ROWS, pivot="(?P<row>.+?)(?P<column>-e4)?", columns={"": "240 epochs"})
    picture = pivot_picture(file)
    assert all(f">{text}</text>" in picture for text in ("kd", "rco", "labels", "240 epochs"))
