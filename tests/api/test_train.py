from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from facekd.api.train import teach
from facekd.errors import DataError, FacekdError, ModelError, RecipeError, SetupError
from facekd.models.weights import load_model
from facekd.route.route import Route
from facekd.run import Run
from facekd.training import checkpoint
from facekd.training.trainer import Trainer

Kill = Callable[[int], AbstractContextManager[None]]


def same_outcome(one: Path, other: Path) -> bool:
    """Weights, route and log, down to the byte, seconds apart."""
    logs = [[{k: v for k, v in line.items() if k != "seconds_per_step"} for line in Run(p).read_log()]
            for p in (one, other)]
    files = [Path("model.safetensors"), Path("route/route.json")]
    files += [file.relative_to(one) for file in (one / "route").glob("*.safetensors")]
    return logs[0] == logs[1] and all((one / f).read_bytes() == (other / f).read_bytes() for f in files)


def test_a_run_leaves_model_route_log_and_facts(taught: Path) -> None:
    run = Run(taught)
    info = run.info()
    assert (info["verb"], info["outcome"], info["faces"]["images"], info["faces"]["classes"]) == (
        "teach", "finished", 48, 8)
    assert info["parameters"] == sum(p.numel() for p in load_model(run.model).parameters())
    assert [line["step"] for line in run.read_log()] == [12, 18, 20, 24, 29, 36]


def test_the_route_holds_epochs_last_steps_before_drops_and_the_end(taught: Path) -> None:
    route = Route.open(taught)
    assert [(p.step, p.reason) for p in route.points] == [
        (12, "epoch"), (18, "before drop"), (24, "epoch"), (29, "before drop"), (36, "last")]
    assert [p.learning_rate for p in route.points] == pytest.approx([0.02, 0.02, 0.002, 0.002, 0.0002])
    logged = {line["step"]: line["loss"] for line in Run(taught).read_log()}
    assert [p.metrics["loss"] for p in route.points] == [logged[p.step] for p in route.points]


def test_the_routes_end_is_the_model(taught: Path) -> None:
    assert Route.open(taught).point_file(4).read_bytes() == (taught / "model.safetensors").read_bytes()


def test_points_differ_from_each_other(taught: Path) -> None:
    assert len({point.sha256 for point in Route.open(taught).points}) == 5


def test_the_same_recipe_gives_the_same_bytes(
    taught: Path, small_faces: Path, small: tuple[str, ...], tmp_path: Path
) -> None:
    assert same_outcome(taught, teach(small_faces, tmp_path / "run", *small))


def test_another_seed_gives_another_network(
    taught: Path, small_faces: Path, small: tuple[str, ...], tmp_path: Path
) -> None:
    other = teach(small_faces, tmp_path / "run", *small, "schedule.epochs=0.1", "seed=1")
    same = teach(small_faces, tmp_path / "again", *small, "schedule.epochs=0.1")
    assert (other / "model.safetensors").read_bytes() != (same / "model.safetensors").read_bytes()


@pytest.mark.parametrize("step", [3, 17, 30])
def test_a_killed_run_goes_on_as_if_nothing_had_happened(
    taught: Path, small_faces: Path, small: tuple[str, ...], tmp_path: Path, kill_at_step: Kill, step: int
) -> None:
    with kill_at_step(step):
        teach(small_faces, tmp_path / "run", *small)
    assert not Run(tmp_path / "run").finished
    assert same_outcome(taught, teach(small_faces, tmp_path / "run", *small))


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX'")
def test_a_process_that_is_shot_can_be_continued(
    taught: Path, small_faces: Path, small: tuple[str, ...], tmp_path: Path
) -> None:
    run = Run(tmp_path / "run")
    command = [sys.executable, "-m", "facekd", "teach", str(small_faces), str(run.path), *small]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not list(run.checkpoints.glob("*.pt")):
            try:
                pytest.fail(f"it ended by itself: {process.wait(timeout=0.02)}")
            except subprocess.TimeoutExpired:
                continue
    finally:
        process.kill()
    assert process.wait() == -signal.SIGKILL
    assert not run.finished
    assert same_outcome(taught, teach(small_faces, run.path, *small))


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX'")
@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.soak)])
def test_one_that_is_shot_at_any_moments_ends_with_the_same_bits(
    taught: Path, small_faces: Path, small: tuple[str, ...], tmp_path: Path, kills: int
) -> None:
    run, often = tmp_path / "run", "machine.checkpoint_minutes=1e-6"
    began = time.monotonic()
    whole = teach(small_faces, tmp_path / "whole", *small, often)
    lasts, moments = time.monotonic() - began, random.Random(kills)
    for _ in range(kills):  # each begins where the one before was; a run that came to its end begins anew
        if Run(run).finished:
            assert same_outcome(whole, run)
            shutil.rmtree(run)
        seconds = f"{moments.uniform(0, lasts / 2):.3f}"
        words = [seconds, "teach", str(small_faces), str(run), *small, often]
        subprocess.run([sys.executable, "-m", "tests.api.dying", *words], check=False, capture_output=True,
                       env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    assert same_outcome(whole, teach(small_faces, run, *small, often))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 6 MB: room for a checkpoint and two points of the route, but not for another checkpoint."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "none", str(folder)], check=False).returncode:
        pytest.skip("a small disk can be mounted by root alone")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_stops_it_in_one_sentence_and_with_more_room_it_goes_on(
    taught: Path, small_faces: Path, small: tuple[str, ...], small_disk: Path
) -> None:
    run = small_disk / "run"
    ended = subprocess.run([sys.executable, "-m", "facekd", "teach", str(small_faces), str(run), *small], check=False,
                           capture_output=True, text=True)
    assert ended.returncode == 2
    assert "facekd: the disk is full: " in ended.stderr and "Traceback" not in ended.stderr
    assert checkpoint.newest(Run(run).checkpoints) is not None
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    assert same_outcome(taught, teach(small_faces, run, *small))


def test_as_many_bad_records_as_the_recipe_allows_are_listed_and_no_more(
    small_faces: Path, small: tuple[str, ...], tmp_path: Path
) -> None:
    faces, run = tmp_path / "faces", tmp_path / "run"
    shutil.copytree(small_faces, faces)
    for number, image in enumerate(sorted(faces.rglob("*.*g"))[:9:4], 1):
        image.write_bytes(b"no image")
        if number == 2:
            teach(faces, run, *small, "data.bad_records=2", "schedule.epochs=1")
    listed = (run / "bad_records.txt").read_text().splitlines()
    assert len(listed) == 2 and all(str(faces) in line for line in listed)
    with pytest.raises(DataError, match=r"bad_records\.txt"):
        teach(faces, tmp_path / "other", *small, "data.bad_records=2", "schedule.epochs=1")


def test_a_finished_run_is_left_alone(
    taught: Path, small_faces: Path, small: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {file: file.stat().st_mtime_ns for file in taught.rglob("*")}

    def refuse(self: Trainer) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(Trainer, "fit", refuse)
    assert teach(small_faces, taught, *small) == taught
    assert {file: file.stat().st_mtime_ns for file in taught.rglob("*")} == before


def test_a_folder_of_another_recipe_is_refused(taught: Path, small_faces: Path, small: tuple[str, ...]) -> None:
    with pytest.raises(SetupError, match=r"run of another recipe.*learning_rate"):
        teach(small_faces, taught, *small, "schedule.learning_rate=0.03")


def test_no_route_is_recorded_where_none_is_wanted(small_faces: Path, small: tuple[str, ...], tmp_path: Path) -> None:
    run = teach(small_faces, tmp_path / "run", *small, "schedule.epochs=0.2", "route.every=0")
    assert (run / "model.safetensors").is_file()
    assert not (run / "route").exists()


def test_every_second_epoch(small_faces: Path, small: tuple[str, ...], tmp_path: Path) -> None:
    values = ("schedule.batch=24", "schedule.epochs=5", "schedule.shape=cosine", "route.every=2")
    run = teach(small_faces, tmp_path / "run", *small, *values)
    assert [(p.epoch, p.reason) for p in Route.open(run).points] == [(2, "epoch"), (4, "epoch"), (5, "last")]


def test_a_recipe_file_is_overridden_by_the_call(small_faces: Path, taught: Path, tmp_path: Path) -> None:
    run = teach(small_faces, tmp_path / "run", "schedule.epochs=0.1", recipe=taught / "recipe.yaml")
    assert load_model(run / "model.safetensors").spec == load_model(taught / "model.safetensors").spec
    assert [line["step"] for line in Run(run).read_log()][-1] == 1


@pytest.mark.parametrize(("values", "kind", "message"), [
    (["schedule.bach=4"], RecipeError, "did you mean 'batch'"),
    (["schedule.batch=49"], DataError, "fewer than one batch of 49"),
    (["model.name=resnet"], ModelError, "unknown model 'resnet'"),
    (["machine.device=cuda:99"], SetupError, "cuda:99"),
    (["head.name=sofmax"], FacekdError, "did you mean 'softmax'"),
    (["data.views.kind=mirror"], RecipeError, "'flip', 'crop' or 'resized-crop', not 'mirror'"),
    (["data.classes=9"], DataError, "has 8 classes, not 9"),
])
def test_mistakes_are_told(
    small_faces: Path, small: tuple[str, ...], tmp_path: Path, values: list[str], kind: type[FacekdError], message: str
) -> None:
    with pytest.raises(kind, match=message):
        teach(small_faces, tmp_path / "run", *small, *values)


def test_a_diverged_run_stops_and_says_so(small_faces: Path, small: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(FacekdError, match="no longer finite"):
        teach(small_faces, tmp_path / "run", *small, "schedule.learning_rate=1e30", "schedule.clip=1e30")
    assert not (tmp_path / "run" / "model.safetensors").exists()
    assert json.loads((tmp_path / "run" / "run.json").read_text())["outcome"] == "running"
