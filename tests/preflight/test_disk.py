"""Estimates of disk space against what real runs wrote."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from facekd.api.distill import distill
from facekd.api.plan import plan
from facekd.preflight.disk import cache_disk_use, count_route_points, run_disk_use
from facekd.preflight.job import open_job
from facekd.preflight.resources import total_bytes
from facekd.route.route import Route
from facekd.training import checkpoint
from tests.preflight.sizes import bytes_of


def test_the_route_has_as_many_points_as_a_run_recorded(recipe: Path, teacher_run: Path) -> None:
    assert count_route_points(open_job(recipe, [], 1)) == len(Route.open(teacher_run).points)


@pytest.mark.parametrize("every_epochs", [0, 2, 0.5, 0.4])
def test_points_follow_the_interval_of_the_route(recipe: Path, every_epochs: float) -> None:
    # Three epochs of 12 steps, drops at 18 and 29.
    expected = {0: 0, 2: len({24, 18, 29, 36}), 0.5: len({6, 12, 18, 24, 29, 30, 36}),
                0.4: len({5, 10, 15, 18, 20, 25, 29, 30, 35, 36})}[every_epochs]
    assert count_route_points(open_job(recipe, [f"route.every_epochs={every_epochs}"], 1)) == expected


@pytest.mark.parametrize(("cycle", "expected"), [
    ("stage", len({9, 14, 27, 32, 12, 24, 36})), ("run", len({18, 29, 12, 24, 36})),
])
def test_points_before_drops_are_those_of_each_cycle(
    recipe: Path, teacher_run: Path, tmp_path: Path, cycle: str, expected: int
) -> None:
    plan(teacher_run, tmp_path / "plan.json", strategy="equal", anchors=2)
    text = recipe.read_text(encoding="utf-8").replace("model:", "student:") + f"plan: {tmp_path / 'plan.json'}\n"
    (tmp_path / "student.yaml").write_text(text, encoding="utf-8")
    # Two stages of 18 steps; the milestones are 0.5 and 0.8. The end of the first stage is no point.
    assert count_route_points(open_job(tmp_path / "student.yaml", [f"training.cycle={cycle}"], 1)) == expected


def test_disk_is_what_a_run_left_behind(recipe: Path, teacher_run: Path) -> None:
    uses = run_disk_use(open_job(recipe, ["machine.keep_checkpoints=1"], 1))
    newest = checkpoint.list_checkpoints(teacher_run / "checkpoints")[-1]
    assert bytes_of(uses, "checkpoints") / 2 == pytest.approx(newest.stat().st_size, rel=0.15)
    assert bytes_of(uses, "model") == pytest.approx((teacher_run / "model.safetensors").stat().st_size, rel=0.05)
    points = sum(file.stat().st_size for file in (teacher_run / "route").glob("*.safetensors"))
    assert bytes_of(uses, "route") == pytest.approx(points, rel=0.05)


@pytest.mark.parametrize("cache_dtype", ["float16", "float32"])
@pytest.mark.parametrize("augmentation", ["flip", "plain", "crop"])
def test_the_teacher_cache_is_as_large_as_a_student_makes_it(
    teacher_run: Path, small_faces: Path, tiny_teacher_overrides: tuple[str, ...], tmp_path: Path, augmentation: str,
    cache_dtype: str,
) -> None:
    shutil.copytree(teacher_run, tmp_path / "teacher", ignore=shutil.ignore_patterns("cache"))  # of other tests
    plan(tmp_path / "teacher", tmp_path / "plan.json", strategy="equal", anchors=2)
    keys = [key.replace("model.", "student.") for key in tiny_teacher_overrides]
    out = distill(small_faces, tmp_path / "plan.json", tmp_path / "student", *keys,
                  f"data.augmentation.kind={augmentation}", f"teacher_cache={cache_dtype}", "training.epochs=4",
                  "route.every_epochs=0")
    files = list((tmp_path / "teacher" / "route" / "cache").glob("*.npy"))
    estimate = total_bytes(cache_disk_use(open_job(out / "recipe.yaml", [], 1)))
    header = 128
    assert estimate == sum(file.stat().st_size - header for file in files) > 0


def test_only_a_cached_teacher_needs_disk(student_recipe: Path, recipe: Path) -> None:
    cached, live = (open_job(student_recipe, [f"teacher_cache={kind}"], 1) for kind in ("float16", "off"))
    assert total_bytes(cache_disk_use(live)) == 0 < total_bytes(cache_disk_use(cached))
    assert cache_disk_use(open_job(recipe, [], 1)) == []
