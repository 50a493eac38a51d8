"""A job's estimates against what a real run of it left behind, and each check against a job that has its mistake."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from facekd.api.distill import distill
from facekd.api.plan import plan
from facekd.api.prepare import doctor
from facekd.data.diagnosis.diagnose import Diagnosis
from facekd.errors import DataError, RecipeError
from facekd.preflight import checks
from facekd.preflight.disk import cache_disk, route_points, run_disk
from facekd.preflight.job import Job, open_job
from facekd.preflight.memory import memory
from facekd.preflight.resources import Share, total
from facekd.route.route import Route
from facekd.training import checkpoint


@pytest.fixture
def recipe(taught: Path) -> Path:
    """That of a finished run: 8 people with 6 images, batches of 4, 3 epochs, a rate that drops twice."""
    return taught / "recipe.yaml"


@pytest.fixture
def examined(recipe: Path, tmp_path: Path) -> Callable[..., list[str]]:
    """``examined("schedule.batch=8", ranks=3)``: what the checks of that job find."""

    def find(*overrides: str, ranks: int = 1) -> list[str]:
        job = open_job(recipe, [f"out={tmp_path / 'run'}", *overrides], ranks)
        return [f"{one.level}: {one.what}" for check in checks.CHECKS for one in check(job)]

    return find


def sizes(shares: list[Share], words: str) -> int:
    return total([share for share in shares if words in share.what])


def test_the_route_has_as_many_points_as_a_run_recorded(recipe: Path, taught: Path) -> None:
    assert route_points(open_job(recipe, [], 1)) == len(Route.open(taught).points)


@pytest.mark.parametrize("every", [0, 2, 0.5])
def test_points_follow_route_every(recipe: Path, every: float) -> None:
    # Three epochs of 12 steps, drops at 18 and 29; half epochs are no moments of the loop.
    expected = {0: 0, 2: len({24, 18, 29, 36}), 0.5: len({12, 24, 36, 18, 29})}[every]
    assert route_points(open_job(recipe, [f"route.every={every}"], 1)) == expected


def test_disk_is_what_a_run_left_behind(recipe: Path, taught: Path) -> None:
    shares = run_disk(open_job(recipe, ["machine.checkpoints=1"], 1))
    newest = checkpoint.kept(taught / "checkpoints")[-1]
    assert sizes(shares, "checkpoints") / 2 == pytest.approx(newest.stat().st_size, rel=0.15)
    assert sizes(shares, "model") == pytest.approx((taught / "model.safetensors").stat().st_size, rel=0.05)
    points = sum(file.stat().st_size for file in (taught / "route").glob("*.safetensors"))
    assert sizes(shares, "route") == pytest.approx(points, rel=0.05)


@pytest.mark.parametrize("views", ["flip", "plain", "crop"])
def test_the_teacher_cache_is_as_large_as_a_student_makes_it(
    taught: Path, small_faces: Path, small: tuple[str, ...], tmp_path: Path, views: str
) -> None:
    shutil.copytree(taught, tmp_path / "teacher")
    plan(tmp_path / "teacher", tmp_path / "plan.json", "equal", 2)
    keys = [key.replace("model.", "student.") for key in small]
    out = distill(small_faces, tmp_path / "plan.json", tmp_path / "student", *keys, f"data.views.kind={views}",
                  "schedule.epochs=4", "route.every=0")
    files = list((tmp_path / "teacher" / "route" / "cache").glob("*.npy"))
    estimate = total(cache_disk(open_job(out / "recipe.yaml", [], 1)))
    header = 128
    assert estimate == sum(file.stat().st_size - header for file in files) > 0


def test_memory_counts_weights_gradients_states_centres_and_crops(recipe: Path) -> None:
    job = open_job(recipe, ["head.centres=3", "schedule.ema=0.9"], 1)
    shares, network = memory(job), job.make_network()
    trained = 4 * sum(weight.numel() for weight in network.parameters() if weight.requires_grad)
    assert sizes(shares, "iresnet10: gradients") == sizes(shares, "iresnet10: state of sgd") == trained
    assert sizes(shares, "head: centres") == sizes(shares, "head: gradients") == 4 * 8 * 3 * 16
    assert sizes(shares, "iresnet10: weights") == sizes(shares, "mean of its weights") > trained
    assert sizes(shares, "decoded crops") == 48 * 32 * 32 * 3


def test_adamw_keeps_two_numbers_a_weight(recipe: Path) -> None:
    one, two = (memory(open_job(recipe, [f"schedule.optimizer={name}"], 1)) for name in ("sgd", "adamw"))
    assert sizes(two, "state of") == 2 * sizes(one, "state of")


def test_processes_share_images_and_classes(recipe: Path) -> None:
    job = open_job(recipe, ["schedule.batch=16"], 4)
    shares = memory(job)
    assert job.process_images == 4 and sizes(shares, "head: centres") == 4 * 2 * 16
    assert any("16 embeddings against 2 classes" in share.what for share in shares)
    assert sizes(shares, "iresnet10: gradients") == 2 * sizes(shares, "iresnet10: state of sgd")


def test_a_live_teacher_is_counted(taught: Path, recipe: Path, tmp_path: Path) -> None:
    plan(taught, tmp_path / "plan.json", "final", 1)
    text = recipe.read_text(encoding="utf-8").replace("model:", "student:") + f"plan: {tmp_path / 'plan.json'}\n"
    (tmp_path / "r.yaml").write_text(text, encoding="utf-8")
    cached, live = (open_job(tmp_path / "r.yaml", [f"cache={kind}"], 1) for kind in ("float16", "off"))
    assert sizes(memory(cached), "teacher") == 0 < sizes(memory(live), "teacher")
    assert total(cache_disk(live)) == 0 < total(cache_disk(cached))
    assert sizes(memory(live), "head") == 0  # l2 alone knows no labels


def test_a_job_that_is_well_has_no_findings(examined: Callable[..., list[str]]) -> None:
    assert examined("schedule.learning_rate=0.001") == []


@pytest.mark.parametrize(("schedule", "ranks", "found"), [
    ("batch: 9, learning_rate: 0.002", 2, "error: a batch of 9 images cannot be shared out equally among 2"),
    ("batch: 64, learning_rate: 0.01", 1, "error: .* holds 48 images, fewer than one step of 64"),
    ("batch: 4, accumulate: 16, learning_rate: 0.01", 1, "error: .* holds 48 images, fewer than one step of 64"),
    ("batch: 18, learning_rate: 0.003", 9, "error: 8 classes cannot be shared out among 9"),
    ("batch: 4, learning_rate: 0.1", 1, r"warning: .* is 1.3e\+02 times"),
    ("batch: 4, learning_rate: 0.0001", 1, r"warning: .* is 0.13 times"),
    ("batch: 4, optimizer: adamw", 1, r"warning: .*learning_rate=0.1 is 1e\+02 times .* with AdamW"),
])
def test_a_mistake_is_found(examined: Callable[..., list[str]], schedule: str, ranks: int, found: str) -> None:
    (said,) = examined(f"schedule={{{schedule}}}", ranks=ranks)
    assert re.match(found, said), said


def test_rates_in_proportion_to_the_images_of_a_step_are_usual(examined: Callable[..., list[str]]) -> None:
    for batch, accumulate in ((4, 1), (8, 2), (4, 8)):
        rate = 0.1 * batch * accumulate / 512
        keys = f"schedule={{batch: {batch}, accumulate: {accumulate}, learning_rate: {rate}}}"
        assert examined(keys) == []


def test_a_folder_with_another_run_is_an_error(recipe: Path, taught: Path) -> None:
    same, other = (open_job(recipe, keys, 1) for keys in ([], ["seed=1"]))
    assert list(checks.folder(same)) == []
    (finding,) = checks.folder(other)
    assert finding.level == "error" and "seed: 1" in finding.where


@pytest.mark.parametrize(("free", "level"), [(10, "error"), (110, "warning"), (200, "")])
def test_memory_and_disk_are_held_against_what_is_free(
    recipe: Path, monkeypatch: pytest.MonkeyPatch, free: int, level: str
) -> None:
    job, shares = open_job(recipe, [], 1), [Share("all", 100)]
    monkeypatch.setattr(checks, "_free_memory", lambda job: (free, "are free"))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=free))
    for found in (checks.fits_memory(job, shares), checks.fits_disk(job, shares, [])):
        assert [finding.level for finding in found] == ([level] if level else [])


def test_a_card_that_is_not_here_is_no_error(recipe: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a graphics card")
    job: Job = open_job(recipe, ["machine.device=cuda"], 1)
    assert job.dtype == torch.bfloat16
    assert list(checks.fits_memory(job, [Share("all", 2**50)])) == []


def test_the_doctor_examines_the_whole_job(recipe: Path, fixtures: Path, call: Callable[..., int], tmp_path: Path,
                                           capsys: pytest.CaptureFixture[str]) -> None:
    code = call("doctor", fixtures / "record", "--recipe", recipe, f"out={tmp_path / 'run'}",
                "schedule.learning_rate=5", "--json", tmp_path / "found.json")
    said, found = capsys.readouterr().out, json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
    assert code == 0 and "memory of a process" in said and "route of" in said and "learning_rate=5" in said
    assert len(found["sets"]) == 2 and found["review"] is None
    assert {share["what"].split(":")[0] for share in found["memory"]} >= {"head", "iresnet10", "libraries"}


def test_without_a_recipe_the_doctor_is_as_before(fixtures: Path) -> None:
    assert type(doctor(fixtures / "record")) is Diagnosis


def test_what_makes_no_sense_is_refused(recipe: Path, fixtures: Path) -> None:
    with pytest.raises(DataError, match="go with a recipe"):
        doctor(fixtures / "record", ranks=2)
    with pytest.raises(DataError, match="give face sets"):
        doctor()
    with pytest.raises(DataError, match="0 processes"):
        doctor(recipe=recipe, ranks=0)
    with pytest.raises(RecipeError, match="does not exist"):
        doctor(recipe=fixtures / "none.yaml")
