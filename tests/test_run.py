"""The run folder: begun once, continued by the same recipe only, and readable after a kill."""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path

import pytest

from facekd import run as runs
from facekd.config import TeachRecipe
from facekd.config.loading import load_recipe
from facekd.errors import DataError, SetupError
from facekd.run import Run, environment, hardware


def recipe(*overrides: str) -> TeachRecipe:
    return load_recipe(TeachRecipe, None, ["faces=f", "out=o", *overrides])


def reached_a_checkpoint(run: Run) -> None:
    run.checkpoints.mkdir()
    (run.checkpoints / "step-00000001-0.pt").touch()


def test_a_run_is_begun_then_continued_then_finished(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    assert run.begin("teach", recipe(), {"data": {"images": 3}}) is False
    begun = run.info()
    reached_a_checkpoint(run)
    assert run.begin("teach", recipe(), {"data": {"images": 3}}) is True
    assert run.info() == begun
    assert (begun["verb"], begun["outcome"], begun["data"], run.finished) == ("teach", "running", {"images": 3}, False)
    run.finish(steps=7)
    assert (run.info()["outcome"], run.info()["steps"], run.finished) == ("finished", 7, True)
    assert run.info()["begun"] == begun["begun"]


def test_the_recipe_in_the_folder_makes_the_same_run(tmp_path: Path) -> None:
    Run(tmp_path).begin("teach", recipe("seed=3"), {})
    assert load_recipe(TeachRecipe, tmp_path / "recipe.yaml", []) == recipe("seed=3")


def test_a_run_of_another_recipe_is_refused_and_the_difference_named(tmp_path: Path) -> None:
    Run(tmp_path).begin("teach", recipe(), {})
    reached_a_checkpoint(Run(tmp_path))
    with pytest.raises(SetupError, match=r"holds a run of another recipe \(seed: 0; seed: 1\); choose another"):
        Run(tmp_path).begin("teach", recipe("seed=1"), {})


def test_a_run_goes_on_where_its_recipe_is_older_than_a_key(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.begin("teach", recipe(), {})
    reached_a_checkpoint(run)
    file = tmp_path / "recipe.yaml"
    file.write_text(file.read_text(encoding="utf-8").replace("  centres: 1\n  options: {}\n", "", 1), encoding="utf-8")
    assert "centres" not in file.read_text(encoding="utf-8")
    with pytest.raises(SetupError, match=r"another recipe \(centres: 1; centres: 3\)"):
        run.begin("teach", recipe("head.centres=3"), {})
    assert run.begin("teach", recipe(), {}) is True


def test_a_run_goes_on_with_its_own_data_only(tmp_path: Path) -> None:
    Run(tmp_path).begin("teach", recipe(), {"faces": {"images": 3}})
    reached_a_checkpoint(Run(tmp_path))
    with pytest.raises(SetupError, match=r"holds a run of another recipe \(other faces\)"):
        Run(tmp_path).begin("teach", recipe(), {"faces": {"images": 4}})


def test_a_run_that_got_nowhere_gives_its_folder_to_a_corrected_recipe(tmp_path: Path) -> None:
    Run(tmp_path).begin("teach", recipe(), {})
    assert Run(tmp_path).begin("teach", recipe("seed=1"), {}) is False
    assert load_recipe(TeachRecipe, tmp_path / "recipe.yaml", []).seed == 1


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SetupError, match=r"cannot be made .* choose another output folder"):
        Run(tmp_path / "file" / "run").begin("teach", recipe(), {})


def test_a_folder_that_is_no_run_is_said(tmp_path: Path) -> None:
    assert Run(tmp_path).finished is False
    with pytest.raises(DataError, match=r"run\.json does not exist"):
        Run(tmp_path).info()


def test_a_half_written_last_line_of_the_log_is_left_out(tmp_path: Path) -> None:
    run = Run(tmp_path)
    assert run.read_log() == []
    run.log_file.write_text('{"step": 1}\n{"step": 2}\n{"st')
    assert run.read_log() == [{"step": 1}, {"step": 2}]


def test_the_log_is_trimmed_to_the_checkpoint(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.log_file.write_text("".join(f'{{"step": {step}}}\n' for step in range(5)) + '{"st')
    run.trim_log(3)
    assert run.log_file.read_text() == "".join(f'{{"step": {step}}}\n' for step in range(4))


def test_the_places_lie_in_the_folder(tmp_path: Path) -> None:
    run = Run(tmp_path)
    places = [run.log_file, run.checkpoints, run.model, run.plan, run.route, run.results]
    names = ["log.jsonl", "checkpoints", "model.safetensors", "plan.json", "route", "results"]
    assert [place.relative_to(tmp_path).as_posix() for place in places] == names


def test_the_environment_is_json_and_names_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["/usr/bin/facekd", "teach", "my faces", "out"])
    facts = environment()
    assert json.loads(json.dumps(facts)) == facts
    assert facts["versions"]["python"] == platform.python_version()
    assert facts["command"] == "facekd teach 'my faces' out"


def test_outside_git_the_revision_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.devnull)
    assert runs._git_revision() is None


def test_the_label_counts_what_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    assert hardware()["label"] == f"cpu{hardware()['cores']}"
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda number: "NVIDIA H200")
    assert hardware()["label"] == "h200x2"
