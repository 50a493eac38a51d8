from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from facekd.api.data.doctor import doctor
from facekd.data.diagnosis.diagnose import Diagnosis
from facekd.errors import DataError, RecipeError
from facekd.preflight.preflight import preflight


def test_the_doctor_examines_the_whole_job(recipe: Path, fixtures: Path, run_cli: Callable[..., int], tmp_path: Path,
                                           capsys: pytest.CaptureFixture[str]) -> None:
    code = run_cli("doctor", fixtures / "record", "--recipe", recipe, f"out={tmp_path / 'run'}",
                   "training.learning_rate=5", "--json", tmp_path / "report.json")
    output = capsys.readouterr().out
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert code == 0 and "memory of a process" in output and "route of" in output and "learning_rate=5" in output
    assert len(report["sets"]) == 2 and report["review"] is None
    assert report["summary"].startswith(f"{tmp_path / 'run'}: iresnet10, 48 images of 8 classes")
    assert {use["name"].split(":")[0] for use in report["memory"]} >= {"head", "iresnet10", "libraries"}


def test_the_result_is_sorted_and_in_json_types(recipe: Path, tmp_path: Path) -> None:
    result = preflight(recipe, [f"out={tmp_path / 'run'}", "training.batch_size=9", "training.learning_rate=5"], (), 2)
    levels = [finding.level for finding in result.findings]
    assert levels == sorted(levels, key=["error", "warning", "note"].index) and not result.ok
    content = json.loads(json.dumps(result.to_dict()))
    assert content["ok"] is False
    assert content["disk"][0].keys() == {"name", "size"}
    assert result.describe().splitlines()[0] == content["summary"]


def test_without_a_recipe_the_doctor_diagnoses_the_sets_alone(fixtures: Path) -> None:
    assert type(doctor(fixtures / "record")) is Diagnosis


def test_what_makes_no_sense_is_refused(recipe: Path, fixtures: Path) -> None:
    with pytest.raises(DataError, match="need a recipe"):
        doctor(fixtures / "record", world_size=2)
    with pytest.raises(DataError, match="give face sets"):
        doctor()
    with pytest.raises(DataError, match="0 processes"):
        doctor(recipe=recipe, world_size=0)
    with pytest.raises(RecipeError, match="does not exist"):
        doctor(recipe=fixtures / "none.yaml")
