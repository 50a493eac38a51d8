"""``distill`` on a closed set, along every kind of plan."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

from facekd.api.distill import distill
from facekd.api.plan import plan
from facekd.api.train import train
from facekd.data.loading.loader import Batch, Loader
from facekd.errors import ModelError, RouteError
from facekd.models.weights import load_model
from facekd.route.agreement import GradientAgreement
from facekd.route.plan import Plan
from facekd.route.route import Route
from facekd.run import Run

Kill = Callable[[int], AbstractContextManager[None]]
Distill = Callable[..., Path]
STUDENT = "student={name: resnet8, size: 32}"


@pytest.fixture
def route(classifier_run: Path, tmp_path: Path) -> Path:
    """The teacher's route of five points, without caches."""
    shutil.copytree(classifier_run / "route", tmp_path / "route", ignore=shutil.ignore_patterns("cache"))
    return tmp_path / "route"


@pytest.fixture
def distill_along(small_classes: Path, classes_overrides: tuple[str, ...], route: Path, tmp_path: Path) -> Distill:
    """``distill_along("equal", "name", "seed=1", anchors=2)`` plans and distills for 3 epochs of 6 steps."""

    def run(strategy: str, name: str, *values: str, anchors: int | None = 3, delta: float | None = None) -> Path:
        file = tmp_path / f"{strategy}-{anchors}.json"
        if not file.exists():
            count = None if strategy == "plateau" else anchors
            plan(route, file, strategy=strategy, anchors=count, delta=delta)
        common = (*classes_overrides, STUDENT, "training.epochs=3", *values)
        return distill(small_classes, file, tmp_path / name, *common)

    return run


def weights(run: Path) -> bytes:
    return (run / "model.safetensors").read_bytes()


def max_difference(run: Path, other_run: Path) -> float:
    """The largest difference between two weights of the same name."""
    other = load_file(other_run / "model.safetensors")
    return max(float((value.float() - other[name].float()).abs().max())
               for name, value in load_file(run / "model.safetensors").items())


def slots(route: Path) -> list[str]:
    """The cache files by point, slot and dtype, as the data are the same."""
    return sorted(f"{file.name[:4]} {file.name.split('-', 2)[2]}" for file in (route / "cache").glob("*.npy"))


@pytest.mark.parametrize(("strategy", "anchors", "points"), [
    ("equal", 2, ["2", "4"]), ("final", 3, ["4", "4", "4"]), ("mean", 2, ["2, 4"]), ("plateau", 4, ["1", "3", "4"]),
])
def test_a_student_follows_any_plan(distill_along: Distill, strategy: str, anchors: int, points: list[str]) -> None:
    run = distill_along(strategy, "run", anchors=anchors)
    info = Run(run).info()
    assert (info["outcome"], info["strategy"], [anchor["point"] for anchor in info["followed_anchors"]]) == (
        "finished", strategy, points)
    assert load_model(run / "model.safetensors").spec.outputs == 4
    lines = Run(run).read_log()
    assert lines[-1]["step"] == 18
    assert {line["stage"] for line in lines} == set(range(len(points)))
    assert lines[0]["loss"] == pytest.approx(lines[0]["labels"] + lines[0]["kd"], rel=1e-5)


def test_plans_lead_to_different_students(distill_along: Distill) -> None:
    strategies = ("equal", "final", "mean", "plateau")
    runs = [distill_along(strategy, strategy, "training.epochs=1", anchors=2) for strategy in strategies]
    assert len({weights(run) for run in runs}) == 4


def test_a_greedy_student_chooses_its_anchors_and_leaves_an_ordinary_plan(distill_along: Distill, route: Path) -> None:
    run = distill_along("greedy", "run")
    followed, opened_route = Plan.read(run / "plan.json")
    points = [stage.points[0] for stage in followed.stages]
    assert (followed.growth, points[-1]) == (None, 4)
    assert "gradient agreement" in followed.stages[0].reason
    assert points == sorted(set(points))
    assert sum(stage.share for stage in followed.stages) == pytest.approx(1)
    info = Run(run).info()
    assert info["anchors"] == []  # none is chosen before the training
    assert [anchor["point"] for anchor in info["followed_anchors"]] == [str(point) for point in points]
    assert opened_route.folder.resolve() == route.resolve()
    (shape,) = {np.load(file).shape for file in (route / "cache").glob("*-center-000-float32.npy")}
    assert shape == (4, 4)


@pytest.mark.parametrize(("delta", "step"), [(1.0, 3), (0.01, 16), (1.0, 9), (1.0, 16)])
def test_a_greedy_student_killed_within_a_stage_chooses_and_learns_the_same(
    distill_along: Distill, route: Path, kill_at_step: Kill, delta: float, step: int
) -> None:
    whole = distill_along("greedy", "whole", delta=delta)
    shutil.rmtree(route / "cache")
    with kill_at_step(step):
        distill_along("greedy", "killed", delta=delta)
    continued = distill_along("greedy", "killed", delta=delta)
    assert weights(whole) == weights(continued)
    assert (whole / "plan.json").read_bytes() == (continued / "plan.json").read_bytes()
    assert Run(whole).info()["followed_anchors"] == Run(continued).info()["followed_anchors"]


def test_a_greedy_student_killed_in_its_choice_chooses_and_learns_the_same(
    distill_along: Distill, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = distill_along("greedy", "whole", delta=1.0)
    measure = GradientAgreement.__call__
    calls: list[Sequence[int]] = []

    def fail_at_the_second_call(self: GradientAgreement, points: Sequence[int]) -> list[float]:
        calls.append(points)
        if len(calls) == 2:
            raise InterruptedError
        return measure(self, points)

    monkeypatch.setattr(GradientAgreement, "__call__", fail_at_the_second_call)
    with pytest.raises(InterruptedError):
        distill_along("greedy", "killed", delta=1.0)
    assert len(Plan.read(whole.parent / "killed" / "plan.json")[0].stages) == 1
    continued = distill_along("greedy", "killed", delta=1.0)
    assert len(calls[0]) == 5  # all points
    assert calls[1] == calls[2] and calls[1][-1] == 4  # the first anchor and those after it, twice
    assert weights(whole) == weights(continued)
    assert (whole / "plan.json").read_bytes() == (continued / "plan.json").read_bytes()


def test_the_stages_of_a_greedy_student_are_a_plan_that_gives_the_same_student(
    distill_along: Distill, small_classes: Path, classes_overrides: tuple[str, ...], tmp_path: Path
) -> None:
    greedy = distill_along("greedy", "greedy")
    values = (*classes_overrides, STUDENT, "training.epochs=3")
    again = distill(small_classes, greedy / "plan.json", tmp_path / "again", *values)
    assert weights(greedy) == weights(again)


def test_a_greedy_plan_without_held_out_images_names_the_key_to_set(distill_along: Distill) -> None:
    with pytest.raises(RouteError, match=r"images held out of training: set data\.val_fraction=0\.05"):
        distill_along("greedy", "run", "data.val_fraction=0")


def test_a_student_teaches_another(
    distill_along: Distill, small_classes: Path, classes_overrides: tuple[str, ...], tmp_path: Path
) -> None:
    assistant = distill_along("final", "assistant", "route.every_epochs=1", anchors=1)
    points = Route.open(assistant).points
    assert [(p.step, p.reason) for p in points] == [(6, "epoch"), (12, "epoch"), (18, "last")]
    assert (assistant / "route" / points[-1].file).read_bytes() == weights(assistant)
    plan(assistant, tmp_path / "assistant.json", strategy="equal", anchors=3)
    values = (*classes_overrides, STUDENT, "training.epochs=1")
    student = distill(small_classes, tmp_path / "assistant.json", tmp_path / "student", *values)
    followed = Run(student).info()["followed_anchors"]
    assert [anchor["file"] for anchor in followed] == [point.file for point in points]


def test_the_same_seed_gives_the_same_bytes_and_another_another(distill_along: Distill) -> None:
    runs = [distill_along("equal", name, f"seed={seed}", anchors=2) for name, seed in (("a", 3), ("b", 3), ("c", 4))]
    assert weights(runs[0]) == weights(runs[1]) != weights(runs[2])


def test_crops_are_replayed_from_the_cache(distill_along: Distill, route: Path) -> None:
    live = distill_along("final", "live", "teacher_cache=off", anchors=1)
    cached = distill_along("final", "cached", "teacher_cache=float32", anchors=1)
    assert max_difference(live, cached) < 1e-3
    anchor = Route.open(route).points[-1].sha256[:4]
    assert slots(route) == [f"{anchor} crop4-seed0-00{epoch}-float32.npy" for epoch in range(3)]


def test_runs_of_several_seeds_and_losses_share_cached_outputs(distill_along: Distill, route: Path) -> None:
    distill_along("final", "one", anchors=1)
    before = {file: file.stat().st_mtime_ns for file in (route / "cache").glob("*.npy")}
    assert len(before) == 3
    distill_along("final", "two", "seed=5", "losses.kd={weight: 1, temperature: 2}", anchors=1)
    assert {file: file.stat().st_mtime_ns for file in (route / "cache").glob("*.npy")} == before
    distill_along("final", "three", "data.augmentation.seed=1", anchors=1)
    assert len(list((route / "cache").glob("*.npy"))) == 6


def test_hints_need_a_live_teacher(distill_along: Distill, route: Path) -> None:
    run = distill_along("equal", "run", "losses={hint: 1, kd: 1}", anchors=2)
    assert {"hint", "kd"} <= Run(run).read_log()[0].keys()
    assert slots(route) == []
    assert all(not name.startswith("regressor") for name in load_file(run / "model.safetensors"))


def test_a_teacher_of_other_classes_is_refused(distill_along: Distill) -> None:
    with pytest.raises(ModelError, match="the teacher knows 4 classes and the data 3"):
        distill_along("final", "run", "data.classes=3", anchors=1)


def test_all_methods_see_the_same_images_in_the_same_order(
    distill_along: Distill, small_classes: Path, classes_overrides: tuple[str, ...], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[bytes] = []
    real_iter_epoch = Loader.iter_epoch

    def iter_epoch(self: Loader, number: int, first_step: int = 0) -> Iterator[Batch]:
        for batch in real_iter_epoch(self, number, first_step):
            seen.append(batch.images.numpy().tobytes() + batch.labels.numpy().tobytes())
            yield batch

    monkeypatch.setattr(Loader, "iter_epoch", iter_epoch)
    model = STUDENT.replace("student", "model")
    train(small_classes, tmp_path / "labels", *classes_overrides, model, "training.epochs=3", "seed=7")
    seen_by_labels = list(seen)
    seen.clear()
    assert len(set(seen_by_labels)) == 18
    for strategy in ("final", "equal", "greedy"):
        distill_along(strategy, strategy, "seed=7", anchors=2)
        assert seen == seen_by_labels
        seen.clear()
