from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from facekd.api.report import report
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
    content = {"format": "facekd.run", "version": 2, "command": "train", "outcome": "finished", "model": None,
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
