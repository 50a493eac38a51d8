from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from facekd.errors import DataError
from facekd.reporting import comparison
from facekd.reporting.run_data import load_run_data
from facekd.reporting.tables.table import Table

MakeRun = Callable[..., Path]
ACCURACIES = (0.9, 0.93, 0.912)


def summarize(runs: list[Path]) -> dict[str, Any]:
    return comparison.summarize([load_run_data(run) for run in runs])


def compare(runs: list[Path]) -> Table:
    return comparison.compare([load_run_data(run) for run in runs])


@pytest.fixture
def seeds(make_run: MakeRun) -> list[Path]:
    return [make_run(f"rco-seed{seed}", seed, accuracy=value) for seed, value in enumerate(ACCURACIES)]


def markdown_cells(table: Table, full: bool = False) -> dict[str, dict[str, str]]:
    text = [line.strip("|") for line in table.to_markdown(full).splitlines() if line.startswith("|")]
    lines = [[cell.strip() for cell in line.split("|")] for line in text]
    return {row[0]: dict(zip(lines[0], row, strict=True)) for row in lines[2:]}


def test_seeds_of_one_recipe_share_a_row_named_without_the_seed(seeds: list[Path]) -> None:
    groups = summarize(seeds)["groups"]
    assert [(group["name"], group["seeds"]) for group in groups] == [("rco", [0, 1, 2])]


def test_mean_and_deviation_over_seeds(seeds: list[Path]) -> None:
    metric = summarize(seeds)["groups"][0]["metrics"]["verify/cfp-ff/accuracy"]
    assert metric["mean"] == pytest.approx(np.mean(ACCURACIES), rel=1e-12)
    assert metric["std"] == pytest.approx(np.std(ACCURACIES, ddof=1), rel=1e-12)
    assert metric["values"] == list(ACCURACIES) and metric["n"] == 3


def test_mean_of_intervals(seeds: list[Path]) -> None:
    metric = summarize(seeds)["groups"][0]["metrics"]["verify/cfp-ff/accuracy"]
    assert metric["mean_interval"] == pytest.approx(np.mean(metric["intervals"], axis=0), rel=1e-12)
    mean = float(np.mean(ACCURACIES))
    assert metric["mean_interval"] == pytest.approx([mean - 0.01, mean + 0.008], rel=1e-12)


def test_markdown_of_several_seeds(seeds: list[Path]) -> None:
    mean, std = 100 * np.mean(ACCURACIES), 100 * np.std(ACCURACIES, ddof=1)
    cells = markdown_cells(compare(seeds))["rco"]
    assert cells["cfp-ff accuracy"] == f"{mean:.2f} ± {std:.2f} [{mean - 1:.2f}, {mean + 0.8:.2f}]"
    assert cells["seeds"] == "3" and cells["parameters"] == "0.849 M"


def test_markdown_of_one_seed_shows_its_interval(make_run: MakeRun) -> None:
    table = compare([make_run("one", accuracy=0.9137)])
    assert markdown_cells(table)["one"]["cfp-ff accuracy"] == "91.37 [90.37, 92.17]"
    assert "±" not in table.to_markdown()


def test_the_footer_says_what_the_interval_of_several_seeds_is(seeds: list[Path]) -> None:
    assert any("mean of 95 % intervals" in line for line in compare(seeds).footer)


def test_another_recipe_is_another_row(make_run: MakeRun) -> None:
    runs = [make_run("a-s0", 0), make_run("b-s1", 1, epochs=30), make_run("a-s2", 2)]
    assert [(g["name"], g["runs"]) for g in summarize(runs)["groups"]] == [("a", ["a-s0", "a-s2"]), ("b", ["b-s1"])]


def test_another_kind_of_machine_is_another_row(make_run: MakeRun) -> None:
    runs = [make_run("a", 0), make_run("b", 1, info={"hardware": {"label": "h200x1"}})]
    assert [group["hardware"] for group in summarize(runs)["groups"]] == ["cpu2", "h200x1"]


def test_a_seed_is_never_counted_twice(make_run: MakeRun) -> None:
    assert [group["seeds"] for group in summarize([make_run("old", 0), make_run("new", 0)])["groups"]] == [[0], [0]]


def test_groups_of_one_name_are_named_by_their_path(make_run: MakeRun) -> None:
    runs = [make_run("cpu/student-seed0"), make_run("gpu/student-seed0", epochs=30)]
    assert [group["name"] for group in summarize(runs)["groups"]] == [str(run) for run in runs]


def test_figures_that_are_null_everywhere_have_no_column(seeds: list[Path]) -> None:
    keys = [metric["key"] for metric in summarize(seeds)["metrics"]]
    assert keys == ["verify/cfp-ff/accuracy", "verify/cfp-ff/TAR@FAR 1e-2", "megaface/cfp/rank 1", "verify/cfp-ff/AUC",
                    "megaface/cfp/TAR@FAR 1e-4"]


def test_headline_columns_are_a_part_of_all(seeds: list[Path]) -> None:
    short, full = (set(markdown_cells(compare(seeds), full)["rco"]) for full in (False, True))
    assert full - short == {"cfp-ff AUC", "cfp TAR@FAR 1e-4"} and short < full


def test_classification_is_compared(make_run: MakeRun) -> None:
    runs = [make_run(f"kd-s{seed}", seed, accuracy=None, rank1=None, top1=top1) for seed, top1 in enumerate((0.7, 0.8))]
    summary = summarize(runs)
    names = ("top-1", "top-5", "ECE", "agreement")
    assert [(m["key"], m["headline"]) for m in summary["metrics"]] == [(f"classify/things/{n}", True) for n in names]
    assert summary["groups"][0]["metrics"]["classify/things/top-1"]["mean"] == pytest.approx(0.75)
    assert "things: 9,876 images." in summary["notes"]
    cells = markdown_cells(compare(runs))["kd"]
    assert cells["things top-1"] == "75.00 ± 7.07 [74.00, 76.00]" and cells["things ECE"] == "4.12 ± 0.00"


def test_identification_and_templates_are_compared(make_run: MakeRun) -> None:
    table = compare([make_run("a", identify=0.8, ijb=0.9)])
    assert {"staff: 1,234 probes of people in the gallery.", "ijbc: 23,124 templates."} <= set(table.footer)
    header, [cells] = table.cells(full=False)
    assert [(name, cell) for name, cell in zip(header, cells, strict=True) if name.startswith(("ijbc", "staff"))] == [
        ("ijbc\n1:1 TAR@FAR 1e-4", "95.00\n[90.00, 100.00]"), ("ijbc\nrank 1", "89.00\n[88.00, 90.00]"),
        ("staff\nrank 1", "80.00\n[79.00, 81.00]"),
    ]


def test_runs_with_and_without_a_classification_share_a_table(make_run: MakeRun) -> None:
    cells = markdown_cells(compare([make_run("faces"), make_run("both", epochs=30, top1=0.7)]))
    assert cells["faces"]["things top-1"] == "–" and cells["both"]["cfp-ff accuracy"] != "–"


def test_a_missing_result_is_a_dash(make_run: MakeRun) -> None:
    cells = markdown_cells(compare([make_run("complete"), make_run("partial", epochs=30, rank1=None)]))
    assert cells["partial"]["cfp rank 1"] == "–" and cells["complete"]["cfp rank 1"] != "–"


def test_a_result_that_some_seeds_lack_shows_how_many_have_it(make_run: MakeRun) -> None:
    runs = [make_run("a-s0", 0, rank1=0.5), make_run("a-s1", 1, rank1=0.6), make_run("a-s2", 2, rank1=None)]
    assert "(n = 2)" in markdown_cells(compare(runs))["a"]["cfp rank 1"]


def test_runs_measured_on_other_data_are_warned_of(make_run: MakeRun) -> None:
    runs = [make_run("a"), make_run("b", epochs=30)]
    file = runs[1] / "results" / "megaface-cfp.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"distractors": 100}))
    [note] = [note for note in summarize(runs)["notes"] if note.startswith("cfp:")]
    assert note.startswith("cfp: 100 and 4,021 distractors.") and "do not compare" in note


def test_a_run_that_has_not_finished_is_named(make_run: MakeRun) -> None:
    assert "Not finished: a." in compare([make_run("a", info={"outcome": "running"})]).footer


def test_the_summary_survives_json(seeds: list[Path]) -> None:
    table = compare(seeds)
    assert Table(json.loads(json.dumps(table.to_dict()))).to_markdown(full=True) == table.to_markdown(full=True)


def test_the_terminal_table_shows_the_figures_and_takes_names_as_they_are(make_run: MakeRun) -> None:
    wide = Console(width=200)
    with wide.capture() as captured:
        wide.print(compare([make_run("a[red]b", accuracy=0.9137)]).to_rich())
    shown = captured.get()
    assert "91.37" in shown and "[90.37, 92.17]" in shown and "a[red]b" in shown and "[its 95 % bootstrap" in shown


def test_a_bar_in_a_name_does_not_break_the_markdown(make_run: MakeRun) -> None:
    assert "| a\\|b |" in compare([make_run("a|b")]).to_markdown()


def test_the_page_holds_the_table_escaped(make_run: MakeRun, tmp_path: Path) -> None:
    runs = [load_run_data(make_run("<b>x"))]
    page = comparison.write_comparison(comparison.compare(runs), runs, tmp_path / "out" / "compare.html")
    text = page.read_text(encoding="utf-8")
    assert "&lt;b&gt;x" in text and "<b>" not in text and "98.77" in text and "http" not in text


def test_no_run_is_refused() -> None:
    with pytest.raises(DataError, match="at least one"):
        summarize([])


def test_a_run_given_twice_is_refused(make_run: MakeRun) -> None:
    run = make_run("a")
    with pytest.raises(DataError, match="more than once"):
        summarize([run, run.parent / "." / "a"])


def test_the_time_for_many_runs_is_linear(make_run: MakeRun) -> None:
    run = load_run_data(make_run("kd"))
    runs = [replace(run, path=Path(f"/runs/kd{number}/x"), recipe={"seed": 0, "number": number % 1000})
            for number in range(3000)]
    begin = time.process_time()
    summary = comparison.summarize(runs)
    assert len(summary["groups"]) == 3000 and time.process_time() - begin < 5


def test_students_in_folders_of_one_name_have_a_curve_each(make_run: MakeRun, tmp_path: Path) -> None:
    runs = [load_run_data(make_run(f"{folder}/student")) for folder in ("a", "b")]
    comparison.write_comparison(comparison.compare(runs), runs, tmp_path / "out" / "comparison.html")
    picture = (tmp_path / "out" / "congruence.svg").read_text()
    assert "a/student" in picture and "b/student" in picture
