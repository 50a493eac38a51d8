from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from facekd.api.report import report
from facekd.errors import DataError
from facekd.reporting.results.csv_file import read_rows


@pytest.fixture
def finished_run(tmp_path: Path) -> Path:
    """The folder of a finished run without weights and results."""
    folder = tmp_path / "kd-seed1"
    folder.mkdir()
    write_info(folder)
    (folder / "recipe.yaml").write_text(yaml.safe_dump({"dataset": "faces/train", "out": str(folder), "seed": 1}))
    return folder


def write_info(run: Path, **info: object) -> None:
    content = {"format": "facekd.run", "version": 2, "command": "train", "outcome": "finished",
               "started": "2026-01-02T03:04:05+0000", "model": None,
               "hardware": {"label": "h200x1"}, "versions": {}}
    (run / "run.json").write_text(json.dumps(content | info))


def test_rows_go_where_the_machine_that_trained_is_named(finished_run: Path, tmp_path: Path) -> None:
    _, written = report(finished_run, results=tmp_path / "results" / "set-{hardware}.csv")
    assert written[-1] == tmp_path / "results" / "set-h200x1.csv"
    assert [(row["name"], row["seed"]) for row in read_rows(written[-1])] == [("kd", 1)]


def test_a_run_that_goes_on_has_no_row_yet(finished_run: Path, tmp_path: Path) -> None:
    write_info(finished_run, outcome="running")
    table, _ = report(finished_run, results=tmp_path / "set.csv")
    assert not (tmp_path / "set.csv").exists() and "Not finished: kd-seed1." in table.footer


def test_rows_are_written_only_on_request(finished_run: Path, tmp_path: Path) -> None:
    _, written = report(finished_run)
    assert written == [finished_run / "report.html"] and not list(tmp_path.glob("**/*.csv"))


@pytest.mark.parametrize("name", ["{x}.csv", "{hardware", "set-{hardware}-{seed}.csv", ""])
def test_a_name_with_other_braces_is_refused(finished_run: Path, name: str) -> None:
    with pytest.raises(DataError, match=r"of braces it takes \{hardware\} alone"):
        report(finished_run, results=name)


def test_the_label_of_a_machine_cannot_lead_out_of_the_folder(finished_run: Path, tmp_path: Path) -> None:
    write_info(finished_run, hardware={"label": "../../elsewhere"})
    with pytest.raises(DataError, match="is no plain name"):
        report(finished_run, results=tmp_path / "results" / "{hardware}.csv")


def test_a_run_whose_name_is_a_formula_is_data_in_all_outputs(tmp_path: Path) -> None:
    """A name may be a formula of TeX or of a spreadsheet, HTML, or hold control characters."""
    folder = tmp_path / "=$\\frac{$ <b>|\x1b]0;x\x07_"
    folder.mkdir()
    write_info(folder)
    (folder / "recipe.yaml").write_text("dataset: faces\nseed: 1\n")
    table, (page, *_, rows) = report(folder, out=tmp_path / "out", results=tmp_path / "set.csv")
    assert "<b>" not in page.read_text().split("<style>")[0]
    assert "\x1b" not in table.to_markdown() and "<b>" not in table.to_markdown()
    assert rows.read_text().splitlines()[1].startswith("'=$")
    report(folder, results=tmp_path / "set.csv")
    assert len(read_rows(tmp_path / "set.csv")) == 1
