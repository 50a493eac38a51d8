from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from facekd.errors import DataError, RecipeError
from facekd.reporting.results.csv_file import upsert
from facekd.reporting.results.result_set import results_page, section
from facekd.reporting.results.rows import Row

KD, RCO = (0.701, 0.712, 0.704), (0.722, 0.719, 0.731)
ABOUT = {"title": "A pair", "dataset": "cifar100", "teacher": "resnet56", "student": "resnet20", "comparable": True}
PUBLISHED = """dataset,teacher,student,method,top1,source
cifar100,resnet56,resnet20,teacher,72.34,One README
cifar100,resnet56,resnet20,student,69.06,One README
cifar100,resnet56,resnet20,KD,70.60,One README
cifar100,resnet56,resnet20,KD+LS,71.43,Another README
cifar100,resnet110,resnet20,KD,70.67,Yet another README
"""


def a_row(name: str, seed: int, top1: float | None, **more: str | float) -> Row:
    figures: Row = {} if top1 is None else {"t.top1": top1, "t.top1_low": top1 - 0.01, "t.top1_high": top1 + 0.01}
    return {"name": name, "seed": seed, "model": "resnet20, 32 px, 100-d", "data": "cifar/train", "data_sha256": "ab12",
            "images": 50_000, "classes": 100, "epochs": 240.0, "hardware": "cpu2", "git": "abc1234", "t.images": 10_000,
            **figures, **more}


ROWS = [a_row("teacher", 0, 0.74), a_row("labels", 0, 0.69),
        *(a_row("kd", seed, top1) for seed, top1 in enumerate(KD)),
        *(a_row("rco", seed, top1) for seed, top1 in enumerate(RCO))]


def a_set(folder: Path, rows: list[Row], **about: object) -> Path:
    runs, published = folder / "runs", folder / "published"
    published.mkdir(exist_ok=True)
    (published / "classes.csv").write_text(PUBLISHED)
    upsert(runs / "pair-cpu2.csv", rows)
    (runs / "pair-cpu2.yaml").write_text(yaml.safe_dump({**ABOUT, **about}))
    return runs / "pair-cpu2.csv"


def cells(file: Path) -> dict[str, dict[str, str]]:
    lines = [line.strip("| ").split(" | ") for line in section(file).splitlines() if line.startswith("|")]
    return {line[0]: dict(zip(lines[0], line, strict=True)) for line in lines[2:]}


def test_mean_and_deviation_over_seeds(tmp_path: Path) -> None:
    found = cells(a_set(tmp_path, ROWS))["kd"]
    assert found["t top-1"] == f"{100 * np.mean(KD):.2f} ± {100 * np.std(KD, ddof=1):.2f}" and found["seeds"] == "3"


def test_one_seed_shows_its_own_interval(tmp_path: Path) -> None:
    assert cells(a_set(tmp_path, ROWS))["labels"]["t top-1"] == "69.00 [68.00, 70.00]"


def test_the_difference_is_taken_seed_by_seed(tmp_path: Path) -> None:
    more = 100 * (np.array(RCO) - KD)
    wanted = f"{more.mean():+.2f} ± {more.std(ddof=1) / 3**0.5:.2f}"
    assert cells(a_set(tmp_path, ROWS))["rco"]["minus kd"] == wanted


def test_the_difference_needs_seeds_in_common(tmp_path: Path) -> None:
    found = cells(a_set(tmp_path, [*ROWS[2:5], a_row("rco", 1, 0.722), a_row("rco", 9, 0.8), a_row("x", 7, 0.9)]))
    assert found["rco"]["minus kd"] == "+1.00 (n = 1)" and found["x"]["minus kd"] == "–"


def test_the_baseline_and_the_teacher_have_no_difference(tmp_path: Path) -> None:
    found = cells(a_set(tmp_path, ROWS))
    assert found["kd"]["minus kd"] == found["teacher"]["minus kd"] == "–" and found["labels"]["minus kd"] == "-1.10"


def test_faces_are_held_against_mimic(tmp_path: Path) -> None:
    rows: list[Row] = [a_row(n, 0, None, **{"c.accuracy": v}) for n, v in (("mimic", 0.8), ("rco", 0.81))]
    found = cells(a_set(tmp_path, rows))["rco"]
    assert found["minus mimic"] == "+1.00" and "published top-1" not in found


def test_the_kl_from_the_teacher_is_judged_in_hundredths_of_a_nat(tmp_path: Path) -> None:
    rows = [{**a_row(name, 0, None), "test.kl": kl} for name, kl in (("kd", 0.25), ("rco", 0.2))]
    found = cells(a_set(tmp_path, rows))["rco"]
    assert (found["test KL"], found["minus kd"]) == ("20.00", "-5.00")


def test_another_baseline_can_be_named(tmp_path: Path) -> None:
    assert cells(a_set(tmp_path, ROWS, baseline="labels"))["rco"]["minus labels"] == "+3.20 (n = 1)"


def test_teacher_labels_and_baseline_come_first(tmp_path: Path) -> None:
    rows = [*ROWS, a_row("at", 0, 0.7)]
    assert list(cells(a_set(tmp_path, rows))) == ["teacher", "labels", "kd", "at", "rco"]


def test_published_figures_of_the_pair_stand_beside_ours_with_their_source(tmp_path: Path) -> None:
    file = a_set(tmp_path, [*ROWS, a_row("kd_ls", 0, 0.71)])
    found = {name: line["published top-1"] for name, line in cells(file).items()}
    assert found == {"teacher": "72.34", "labels": "69.06", "kd": "70.60", "kd_ls": "71.43", "rco": "–"}
    assert "Published for cifar100, resnet56 to resnet20: Another README, One README." in section(file)


def test_the_published_distance_to_the_baseline_stands_beside_ours(tmp_path: Path) -> None:
    found = {name: line["published minus kd"] for name, line in cells(a_set(tmp_path, ROWS)).items()}
    assert found == {"teacher": "+1.74", "labels": "-1.54", "kd": "+0.00", "rco": "–"}


def test_what_is_comparable_is_said_of_every_row(tmp_path: Path) -> None:
    found = {name: line["comparable"] for name, line in cells(a_set(tmp_path, ROWS)).items()}
    assert found == {"teacher": "yes", "labels": "yes", "kd": "yes", "rco": "no: nothing published"}


def test_what_is_not_comparable_says_why(tmp_path: Path) -> None:
    found = cells(a_set(tmp_path, ROWS, comparable=False, why="30 epochs, not 240"))
    assert {line["comparable"] for line in found.values()} == {"no: 30 epochs, not 240"}


def test_another_data_set_has_no_published_figure_and_says_so(tmp_path: Path) -> None:
    file = a_set(tmp_path, ROWS, dataset="tiny100")
    assert {line["published top-1"] for line in cells(file).values()} == {"–"}
    assert "Nothing published is at hand for tiny100, resnet56 to resnet20." in section(file)


def test_a_set_without_a_description_claims_nothing(tmp_path: Path) -> None:
    file = a_set(tmp_path, ROWS)
    file.with_suffix(".yaml").unlink()
    assert cells(file)["kd"]["comparable"] == "no: the conditions were not written down"


@pytest.mark.parametrize(("column", "value"), [("epochs", 30.0), ("hardware", "h200x1"), ("losses", "kd 1")])
def test_seeds_under_other_conditions_are_warned_of(tmp_path: Path, column: str, value: str | float) -> None:
    rows = [a_row("kd", seed, top1, **{"losses": "kd 0.9"}) for seed, top1 in enumerate(KD)]
    rows[1][column] = value
    assert f"**kd**: its seeds differ in {column}" in section(a_set(tmp_path, rows))


def test_rows_measured_on_other_data_are_warned_of(tmp_path: Path) -> None:
    text = section(a_set(tmp_path, [*ROWS, a_row("x", 0, 0.7, **{"t.images": 100})]))
    assert "**t: 100 and 10,000 images**: the rows were not measured on the same data" in text


def test_a_seed_without_a_result_is_counted(tmp_path: Path) -> None:
    rows = [a_row("kd", 0, 0.7), a_row("kd", 1, 0.72), a_row("kd", 2, None)]
    assert cells(a_set(tmp_path, rows))["kd"]["t top-1"] == "71.00 ± 1.41 (n = 2)"


def test_the_page_has_a_section_a_set_and_none_of_the_published_file(tmp_path: Path) -> None:
    a_set(tmp_path, ROWS, text="Some words.", command="recipes/x.sh", protocol="240 epochs")
    upsert(tmp_path / "runs" / "zz.csv", [a_row("kd", 0, 0.7)])
    page = results_page(tmp_path)
    assert [line for line in page.splitlines() if line.startswith("#")] == ["# Results", "## A pair", "## zz"]
    assert "Some words." in page and "```sh\nrecipes/x.sh\n```" in page and "Protocol: 240 epochs" in page


def test_a_mistake_in_the_description_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="unknown key 'tittle'; did you mean 'title'"):
        section(a_set(tmp_path, ROWS, tittle="x"))


def test_a_damaged_published_figure_is_named_by_its_line(tmp_path: Path) -> None:
    file = a_set(tmp_path, ROWS)
    (tmp_path / "published" / "classes.csv").write_text(PUBLISHED.replace("71.43", "about 71"))
    with pytest.raises(DataError, match=r"classes\.csv:5: top1 must be a number"):
        section(file)
