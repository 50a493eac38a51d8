"""The run folder: begun once, continued by the same recipe only, and readable after a kill."""

from __future__ import annotations

from pathlib import Path

import pytest

from facekd.config import TrainRecipe
from facekd.config.loading import load_recipe
from facekd.errors import DataError, SetupError
from facekd.io import files
from facekd.io.documents import read_json
from facekd.run import VERSION, Run


def recipe(*overrides: str) -> TrainRecipe:
    return load_recipe(TrainRecipe, None, ["dataset=f", "out=o", *overrides])


def reached_a_checkpoint(run: Run) -> None:
    run.checkpoints.mkdir()
    (run.checkpoints / "step-00000001-0.pt").touch()


def test_a_run_is_started_then_continued_then_finished(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    assert run.begin("train", recipe(), {"data": {"images": 3}}) is False
    started = run.info()
    reached_a_checkpoint(run)
    assert run.begin("train", recipe(), {"data": {"images": 3}}) is True
    assert run.info() == started
    assert (started["command"], started["outcome"], started["data"]) == ("train", "running", {"images": 3})
    assert run.finished is False
    run.finish(steps=7)
    assert (run.info()["outcome"], run.info()["steps"], run.finished) == ("finished", 7, True)
    assert run.info()["started"] == started["started"]


def test_the_recipe_in_the_folder_makes_the_same_run(tmp_path: Path) -> None:
    Run(tmp_path).begin("train", recipe("seed=3"), {})
    assert load_recipe(TrainRecipe, tmp_path / "recipe.yaml", []) == recipe("seed=3")


def test_a_run_of_another_recipe_is_refused_and_the_difference_named(tmp_path: Path) -> None:
    Run(tmp_path).begin("train", recipe(), {})
    reached_a_checkpoint(Run(tmp_path))
    with pytest.raises(SetupError, match=r"holds a run of another recipe \(seed was 0 and is 1\); choose another"):
        Run(tmp_path).begin("train", recipe("seed=1"), {})


def test_a_run_is_continued_where_its_recipe_is_older_than_a_key(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.begin("train", recipe(), {})
    reached_a_checkpoint(run)
    file = tmp_path / "recipe.yaml"
    text = file.read_text(encoding="utf-8").replace("  sub_centers: 1\n  options: {}\n", "", 1)
    file.write_text(text, encoding="utf-8")
    assert "sub_centers" not in file.read_text(encoding="utf-8")
    with pytest.raises(SetupError, match=r"another recipe \(head.sub_centers was 1 and is 3\)"):
        run.begin("train", recipe("head.sub_centers=3"), {})
    assert run.begin("train", recipe(), {}) is True


def test_a_run_is_continued_with_its_own_data_only(tmp_path: Path) -> None:
    Run(tmp_path).begin("train", recipe(), {"dataset": {"content": "ab", "classes": 2, "images": 3}})
    reached_a_checkpoint(Run(tmp_path))
    with pytest.raises(SetupError, match=r"holds a run of other training data; choose another"):
        Run(tmp_path).begin("train", recipe(), {"dataset": {"content": "ab", "classes": 2, "images": 4}})


def test_a_run_is_continued_after_its_data_and_its_folder_were_moved(tmp_path: Path) -> None:
    Run(tmp_path).begin("train", recipe(), {})
    reached_a_checkpoint(Run(tmp_path))
    moved = recipe().model_copy(update={"dataset": "elsewhere/faces", "out": "elsewhere/run"})
    assert Run(tmp_path).begin("train", moved, {}) is True
    assert load_recipe(TrainRecipe, tmp_path / "recipe.yaml", []).dataset == "elsewhere/faces"


def test_a_run_that_got_nowhere_gives_its_folder_to_a_corrected_recipe(tmp_path: Path) -> None:
    Run(tmp_path).begin("train", recipe(), {})
    assert Run(tmp_path).begin("train", recipe("seed=1"), {}) is False
    assert load_recipe(TrainRecipe, tmp_path / "recipe.yaml", []).seed == 1


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SetupError, match=r"/file is in the way; choose another output"):
        Run(tmp_path / "file" / "run").begin("train", recipe(), {})


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    assert Run(tmp_path).finished is False
    with pytest.raises(DataError, match=r"run\.json does not exist"):
        Run(tmp_path).info()


def test_a_half_written_last_line_of_the_log_is_left_out(tmp_path: Path) -> None:
    run = Run(tmp_path)
    assert run.read_log() == []
    run.log_file.write_text('{"step": 1}\n{"step": 2}\n{"st')
    assert run.read_log() == [{"step": 1}, {"step": 2}]


@pytest.fixture
def finished(tmp_path: Path) -> Run:
    """A finished run with a checkpoint, a model and a route."""
    run = Run(tmp_path / "run")
    run.begin("train", recipe(), {})
    reached_a_checkpoint(run)
    run.route.mkdir()
    for file in (run.model, run.route / "route.json"):
        file.write_text("content")
    run.finish()
    return run


def test_a_finished_run_is_complete(finished: Run) -> None:
    assert finished.is_complete()
    assert set(finished.info()["sha256"]) == {"model.safetensors", "route/route.json"}


def test_an_unfinished_run_is_not_complete(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.begin("train", recipe(), {})
    assert not run.is_complete()


@pytest.mark.parametrize("content", [None, "", "contenT"])
def test_a_damaged_model_is_made_again(finished: Run, capsys: pytest.CaptureFixture[str], content: str | None) -> None:
    finished.model.unlink() if content is None else finished.model.write_text(content)
    assert not finished.is_complete()
    assert "model.safetensors of the finished run" in capsys.readouterr().err


def test_what_no_checkpoint_makes_again_is_named(finished: Run) -> None:
    (finished.route / "route.json").write_text("other")
    with pytest.raises(DataError, match=r"^route/route\.json of the finished run .* is damaged or missing, and no "
                                        r"checkpoint can make that again; restore it"):
        finished.is_complete()


def test_a_damaged_model_without_a_checkpoint_is_named(finished: Run) -> None:
    finished.model.unlink()
    next(finished.checkpoints.iterdir()).unlink()
    with pytest.raises(DataError, match=r"^model\.safetensors of the finished run .*no checkpoint can make that again"):
        finished.is_complete()


def test_the_log_is_truncated_to_the_checkpoint(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.log_file.write_text("".join(f'{{"step": {step}}}\n' for step in range(5)) + '{"st')
    run.truncate_log(3)
    assert run.log_file.read_text() == "".join(f'{{"step": {step}}}\n' for step in range(4))


def test_the_files_are_in_the_folder(tmp_path: Path) -> None:
    run = Run(tmp_path)
    paths = [run.log_file, run.checkpoints, run.model, run.joint_teacher, run.plan, run.route, run.results]
    names = ["log.jsonl", "checkpoints", "model.safetensors", "joint_teacher.safetensors", "plan.json", "route",
             "results"]
    assert [path.relative_to(tmp_path).as_posix() for path in paths] == names


def test_a_run_of_an_older_version_is_refused(tmp_path: Path) -> None:
    files.write_versioned(tmp_path / "run.json", "run", VERSION - 1, {"verb": "teach", "outcome": "finished"})
    with pytest.raises(DataError, match=r"version 1 was written by an older facekd.*; train it again in a new folder"):
        Run(tmp_path).info()


@pytest.mark.parametrize(("key", "value"), [
    ("command", None), ("command", "teach"), ("outcome", 3), ("started", "yesterday"), ("versions", []),
    ("hardware", {}), ("dataset", []), ("model", {"size": 3}), ("anchors", [{}]), ("sha256", {"a": 1}),
    ("parameters", "many"), ("macs", -1),
])
def test_a_damaged_run_is_refused_with_the_key(tmp_path: Path, key: str, value: object) -> None:
    Run(tmp_path).begin("train", recipe(), {})
    content = read_json(tmp_path / "run.json") | {key: value}
    files.write_json(tmp_path / "run.json", {name: v for name, v in content.items() if v is not None})
    with pytest.raises(DataError, match=f"run.json is damaged: '{key}.*; restore it, or train it again"):
        Run(tmp_path).info()


def test_a_run_may_have_facts_of_its_own(tmp_path: Path) -> None:
    Run(tmp_path).begin("train", recipe(), {"weather": {"rain": [1, None]}})
    assert Run(tmp_path).info()["weather"] == {"rain": [1, None]}
