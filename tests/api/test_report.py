from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from facekd.api.report import report
from facekd.reporting.results.csv_file import read_rows


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "kd-seed1"
    folder.mkdir()
    write(folder)
    (folder / "recipe.yaml").write_text(yaml.safe_dump({"faces": "faces/train", "out": str(folder), "seed": 1}))
    return folder


def write(run: Path, **info: object) -> None:
    content = {"format": "facekd.run", "version": 1, "verb": "teach", "outcome": "finished", "model": None,
               "hardware": {"label": "h200x1"}, "versions": {}}
    (run / "run.json").write_text(json.dumps(content | info))


def test_rows_go_where_the_machine_that_trained_is_named(run: Path, tmp_path: Path) -> None:
    _, written = report(run, results=tmp_path / "results" / "set-{hardware}.csv")
    assert written[-1] == tmp_path / "results" / "set-h200x1.csv"
    assert [(row["name"], row["seed"]) for row in read_rows(written[-1])] == [("kd", 1)]


def test_a_run_that_goes_on_has_no_row_yet(run: Path, tmp_path: Path) -> None:
    write(run, outcome="running")
    table, _ = report(run, results=tmp_path / "set.csv")
    assert not (tmp_path / "set.csv").exists() and "Not finished: kd-seed1." in table.footer


def test_rows_are_written_only_where_asked_for(run: Path, tmp_path: Path) -> None:
    _, written = report(run)
    assert written == [run / "report.html"] and not list(tmp_path.glob("**/*.csv"))
