from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file

from facekd.api.distill import distill
from facekd.api.plan import plan
from facekd.errors import FacekdError, ModelError, RecipeError, RouteError, SetupError
from facekd.models.weights import load_model
from facekd.route.plan import Plan
from facekd.run import Run
from facekd.training.trainer import Trainer

STUDENT = (
    "student.name=iresnet10", "student.options={width: 0.25}", "student.size=32", "student.embedding=16",
    "head.scale=16", "training.batch_size=8", "training.epochs=3", "training.learning_rate=0.05",
    "machine.device=cpu", "machine.threads=1",
)
"""18 steps; with two anchors 9 a stage, and checkpoints at 6, 9, 12 and 18."""


Kill = Callable[[int], AbstractContextManager[None]]


@pytest.fixture
def rco_plan(teacher_run: Path, tmp_path: Path) -> Path:
    """A plan of two anchors on a route without caches."""
    shutil.copytree(teacher_run / "route", tmp_path / "route")
    plan(tmp_path / "route", tmp_path / "rco.json", strategy="equal", anchors=2)
    return tmp_path / "rco.json"


def log(run: Path) -> list[dict[str, Any]]:
    return [{k: v for k, v in line.items() if k != "seconds_per_step"} for line in Run(run).read_log()]


def weights(run: Path) -> bytes:
    return (run / "model.safetensors").read_bytes()


def max_difference(run: Path, other_run: Path) -> float:
    """The largest difference between two weights of the same name."""
    other = load_file(other_run / "model.safetensors")
    return max(float((value.float() - other[name].float()).abs().max())
               for name, value in load_file(run / "model.safetensors").items())


def test_a_student_follows_the_plan(small_faces: Path, rco_plan: Path, tmp_path: Path) -> None:
    run = distill(small_faces, rco_plan, tmp_path / "run", *STUDENT)
    info = Run(run).info()
    assert (info["command"], info["outcome"], info["strategy"]) == ("distill", "finished", "equal")
    assert info["teacher"]["name"].endswith(", trained by facekd")
    assert [(a["point"], a["step"], a["share"]) for a in info["anchors"]] == [("2", 24, 0.5), ("4", 36, 0.5)]
    assert info["followed_anchors"] == info["anchors"]
    assert list(Plan.read(run / "plan.json")[0].stages) == list(Plan.read(rco_plan)[0].stages)
    assert [(line["step"], line["stage"]) for line in log(run)] == [(6, 0), (9, 0), (12, 1), (18, 1)]
    assert load_model(run / "model.safetensors").spec.name == "iresnet10"
    assert not (run / "route").exists()
    cached = [file.name.split("-", 2)[2] for file in (tmp_path / "route" / "cache").glob("*.npy")]
    assert sorted(cached) == ["flip-000-float16.npy"] * 2 + ["flip-001-float16.npy"] * 2


@pytest.mark.parametrize("cache", ["float16", "off"])
@pytest.mark.parametrize("step", [3, 8, 14])
def test_a_student_killed_within_a_stage_continues_to_the_same_bytes(
    small_faces: Path, rco_plan: Path, tmp_path: Path, kill_at_step: Kill, step: int, cache: str
) -> None:
    # Another embedding dimension adds a projection with random initial weights.
    values = (*STUDENT, f"teacher_cache={cache}", "student.embedding=8", "losses={l2: 1, labels: 0.1}")
    whole = distill(small_faces, rco_plan, tmp_path / "whole", *values)
    shutil.rmtree(tmp_path / "route" / "cache", ignore_errors=True)
    with kill_at_step(step):
        distill(small_faces, rco_plan, tmp_path / "killed", *values)
    continued = distill(small_faces, rco_plan, tmp_path / "killed", *values)
    assert weights(whole) == weights(continued)
    assert log(whole) == log(continued)


def test_one_anchor_is_plain_mimicking(small_faces: Path, rco_plan: Path, tmp_path: Path) -> None:
    runs = []
    for strategy in ("equal", "final"):
        plan(tmp_path / "route", tmp_path / f"{strategy}.json", strategy=strategy, anchors=1)
        runs.append(distill(small_faces, tmp_path / f"{strategy}.json", tmp_path / strategy, *STUDENT))
    assert weights(runs[0]) == weights(runs[1])
    assert weights(runs[0]) != weights(distill(small_faces, rco_plan, tmp_path / "rco", *STUDENT))


def test_cached_and_live_anchors_train_the_same_student(small_faces: Path, rco_plan: Path, tmp_path: Path) -> None:
    values = (*STUDENT, "training.epochs=0.5", "student.embedding=8")
    live = distill(small_faces, rco_plan, tmp_path / "live", *values, "teacher_cache=off")
    cached = distill(small_faces, rco_plan, tmp_path / "cached", *values, "teacher_cache=float32")
    assert max_difference(live, cached) < 1e-3
    assert all(file.name.endswith("-float32.npy") for file in (tmp_path / "route" / "cache").glob("*.npy"))


def test_a_cache_is_used_again(small_faces: Path, rco_plan: Path, tmp_path: Path) -> None:
    distill(small_faces, rco_plan, tmp_path / "one", *STUDENT, "training.epochs=0.4")
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "route" / "cache").glob("*.npy")}
    assert before
    distill(small_faces, rco_plan, tmp_path / "two", *STUDENT, "training.epochs=0.4", "seed=5")
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "route" / "cache").glob("*.npy")} == before


def test_a_live_teacher_of_another_size_is_refused(small_faces: Path, rco_plan: Path, tmp_path: Path) -> None:
    with pytest.raises(RouteError, match=r"takes 32 px and the student 48 px.*teacher_cache=float16"):
        distill(small_faces, rco_plan, tmp_path / "run", *STUDENT, "student.size=48", "teacher_cache=off")


def test_a_cached_teacher_of_another_size_sees_its_own_crops(small_faces: Path, rco_plan: Path, tmp_path: Path) -> None:
    short = (*STUDENT, "training.epochs=0.4", "teacher_cache=float32")
    distill(small_faces, rco_plan, tmp_path / "same", *short)
    cached = {file.name: np.load(file) for file in (tmp_path / "route" / "cache").glob("*.npy")}
    shutil.rmtree(tmp_path / "route" / "cache")
    distill(small_faces, rco_plan, tmp_path / "larger", *short, "student.size=48")
    again = {file.name: np.load(file) for file in (tmp_path / "route" / "cache").glob("*.npy")}
    assert cached.keys() == again.keys()
    assert all(np.array_equal(values, again[name]) for name, values in cached.items())


def test_a_changed_anchor_is_refused(small_faces: Path, rco_plan: Path, tmp_path: Path) -> None:
    file = tmp_path / "route" / "point-00000036.safetensors"
    shutil.copy(tmp_path / "route" / "point-00000012.safetensors", file)
    with pytest.raises(RouteError, match="not the file that was recorded"):
        distill(small_faces, rco_plan, tmp_path / "run", *STUDENT)


def test_a_finished_run_is_left_alone_and_another_recipe_refused(
    small_faces: Path, rco_plan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = distill(small_faces, rco_plan, tmp_path / "run", *STUDENT, "training.epochs=0.4")

    def refuse(self: Trainer) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(Trainer, "fit", refuse)
    assert distill(small_faces, rco_plan, tmp_path / "run", *STUDENT, "training.epochs=0.4") == run
    with pytest.raises(SetupError, match="another recipe"):
        distill(small_faces, rco_plan, tmp_path / "run", *STUDENT, "training.epochs=0.3")


def test_a_first_try_without_a_checkpoint_leaves_no_plan_to_follow(
    small_faces: Path, rco_plan: Path, tmp_path: Path, kill_at_step: Kill
) -> None:
    with kill_at_step(1):
        distill(small_faces, rco_plan, tmp_path / "run", *STUDENT)
    plan(tmp_path / "route", rco_plan, strategy="final", anchors=1)
    run = distill(small_faces, rco_plan, tmp_path / "run", *STUDENT, "training.epochs=0.4")
    assert [anchor["point"] for anchor in Run(run).info()["followed_anchors"]] == ["4"]


def test_a_plan_may_not_be_the_file_in_which_the_run_records_its_own(
    small_faces: Path, rco_plan: Path, tmp_path: Path
) -> None:
    plan(tmp_path / "route", tmp_path / "run" / "plan.json", strategy="final", anchors=1)
    with pytest.raises(RouteError, match=r"plan\.json is the file in which this run records its plan"):
        distill(small_faces, tmp_path / "run" / "plan.json", tmp_path / "run", *STUDENT)


@pytest.mark.parametrize(("values", "error", "message"), [
    (["losses.kdd=1"], RecipeError, "unknown loss 'kdd'"),
    (["losses.labels=1"], ModelError, "none follows a teacher"),
    (["losses.l2=-1"], RecipeError, "greater than or equal to 0"),
    (["mimic.l2=10"], RecipeError, "unknown key 'mimic'"),
    (["teacher_cache=float64"], RecipeError, "'float16', 'float32' or 'off', not 'float64'"),
    (["data.val_fraction=0.99"], RecipeError, "less than 0.5"),
])
def test_mistakes_are_named(
    small_faces: Path, rco_plan: Path, tmp_path: Path, values: list[str], error: type[FacekdError], message: str
) -> None:
    with pytest.raises(error, match=message):
        distill(small_faces, rco_plan, tmp_path / "run", *STUDENT, *values)


def test_a_greedy_plan_for_faces_uses_the_distance_of_embeddings(
    small_faces: Path, rco_plan: Path, tmp_path: Path
) -> None:
    plan(tmp_path / "route", rco_plan, strategy="greedy", anchors=3)
    values = ("data.val_fraction=0.1", "student.embedding=8", "head.margin=0.3", "losses.l2=1")
    run = distill(small_faces, rco_plan, tmp_path / "run", *STUDENT, *values)
    followed, _ = Plan.read(run / "plan.json")
    assert (followed.strategy, followed.growth) == ("greedy", None)
    assert followed.stages[-1].points == (4,)
    assert "gradient agreement" in followed.stages[0].reason
    assert Run(run).info()["dataset"]["images"] == 43
    held_out = list((tmp_path / "route" / "cache").glob("*-plain-000-float32.npy"))
    assert {np.load(file).shape for file in held_out} == {(5, 16)}
