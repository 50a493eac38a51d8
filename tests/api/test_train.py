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

from facekd.api.train import train
from facekd.errors import DataError, FacekdError, RecipeError, RouteError, SetupError
from facekd.models.weights import load_model
from facekd.route.route import Route
from facekd.run import Run
from facekd.training import checkpoint
from facekd.training.trainer import Trainer

Kill = Callable[[int], AbstractContextManager[None]]


def same_outcome(run: Path, other_run: Path) -> bool:
    """Whether weights, route and log are the same to the byte, apart from seconds."""
    log, other_log = ([{key: value for key, value in line.items() if key != "seconds_per_step"}
                       for line in Run(path).read_log()] for path in (run, other_run))
    files = [Path("model.safetensors"), Path("route/route.json")]
    files += [file.relative_to(run) for file in (run / "route").glob("*.safetensors")]
    return log == other_log and all((run / file).read_bytes() == (other_run / file).read_bytes() for file in files)


def test_a_run_writes_model_route_log_and_facts(teacher_run: Path) -> None:
    run = Run(teacher_run)
    info = run.info()
    assert (info["command"], info["outcome"], info["dataset"]["images"], info["dataset"]["classes"]) == (
        "train", "finished", 48, 8)
    assert info["parameters"] == sum(p.numel() for p in load_model(run.model).parameters())
    assert [line["step"] for line in run.read_log()] == [12, 18, 20, 24, 29, 36]


def test_the_route_holds_epochs_last_steps_before_drops_and_the_end(teacher_run: Path) -> None:
    route = Route.open(teacher_run)
    assert [(p.step, p.reason) for p in route.points] == [
        (12, "epoch"), (18, "before drop"), (24, "epoch"), (29, "before drop"), (36, "last")]
    assert [p.learning_rate for p in route.points] == pytest.approx([0.02, 0.02, 0.002, 0.002, 0.0002])
    logged = {line["step"]: line["loss"] for line in Run(teacher_run).read_log()}
    assert [p.metrics["loss"] for p in route.points] == [logged[p.step] for p in route.points]


def test_the_routes_end_is_the_model(teacher_run: Path) -> None:
    assert Route.open(teacher_run).point_file(4).read_bytes() == (teacher_run / "model.safetensors").read_bytes()


def test_points_differ_from_each_other(teacher_run: Path) -> None:
    assert len({point.sha256 for point in Route.open(teacher_run).points}) == 5


def test_the_same_recipe_gives_the_same_bytes(
    teacher_run: Path, small_faces: Path, tiny_teacher_overrides: tuple[str, ...], tmp_path: Path
) -> None:
    assert same_outcome(teacher_run, train(small_faces, tmp_path / "run", *tiny_teacher_overrides))


def test_another_seed_gives_another_network(
    teacher_run: Path, small_faces: Path, tiny_teacher_overrides: tuple[str, ...], tmp_path: Path
) -> None:
    other = train(small_faces, tmp_path / "run", *tiny_teacher_overrides, "training.epochs=0.1", "seed=1")
    same = train(small_faces, tmp_path / "again", *tiny_teacher_overrides, "training.epochs=0.1")
    assert (other / "model.safetensors").read_bytes() != (same / "model.safetensors").read_bytes()


@pytest.mark.parametrize("step", [3, 17, 30])
def test_a_killed_run_continues_to_the_same_bytes(
    teacher_run: Path, small_faces: Path, tiny_teacher_overrides: tuple[str, ...], tmp_path: Path, kill_at_step: Kill,
    step: int,
) -> None:
    with kill_at_step(step):
        train(small_faces, tmp_path / "run", *tiny_teacher_overrides)
    assert not Run(tmp_path / "run").finished
    assert same_outcome(teacher_run, train(small_faces, tmp_path / "run", *tiny_teacher_overrides))


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX'")
def test_a_killed_process_can_be_continued(
    teacher_run: Path, small_faces: Path, tiny_teacher_overrides: tuple[str, ...], tmp_path: Path
) -> None:
    run = Run(tmp_path / "run")
    command = [sys.executable, "-m", "facekd", "train", str(small_faces), str(run.path), *tiny_teacher_overrides]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not list(run.checkpoints.glob("*.pt")):
            try:
                pytest.fail(f"it ended by itself with status {process.wait(timeout=0.02)}")
            except subprocess.TimeoutExpired:
                continue
    finally:
        process.kill()
    assert process.wait() == -signal.SIGKILL
    assert not run.finished
    assert same_outcome(teacher_run, train(small_faces, run.path, *tiny_teacher_overrides))


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX'")
@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.soak)])
def test_a_run_that_is_killed_at_random_times_ends_with_the_same_bytes(
    teacher_run: Path, small_faces: Path, tiny_teacher_overrides: tuple[str, ...], tmp_path: Path, kills: int
) -> None:
    run = tmp_path / "run"
    overrides = (*tiny_teacher_overrides, "machine.checkpoint_every_minutes=1e-6")
    begin = time.monotonic()
    uninterrupted = train(small_faces, tmp_path / "uninterrupted", *overrides)
    duration = time.monotonic() - begin
    generator = random.Random(kills)
    for _ in range(kills):  # each process continues the run of the one before; a finished run is started anew
        if Run(run).finished:
            assert same_outcome(uninterrupted, run)
            shutil.rmtree(run)
        seconds = f"{generator.uniform(0, duration / 2):.3f}"
        words = [seconds, "train", str(small_faces), str(run), *overrides]
        subprocess.run([sys.executable, "-m", "tests.api.dying", *words], check=False, capture_output=True,
                       env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    assert same_outcome(uninterrupted, train(small_faces, run, *overrides))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 6 MB: room for a checkpoint and two points of the route, but not for another checkpoint."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "none", str(folder)], check=False).returncode:
        pytest.skip("only root can mount a small disk")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_stops_it_in_one_sentence_and_with_more_room_it_continues(
    teacher_run: Path, small_faces: Path, tiny_teacher_overrides: tuple[str, ...], small_disk: Path
) -> None:
    run = small_disk / "run"
    command = [sys.executable, "-m", "facekd", "train", str(small_faces), str(run), *tiny_teacher_overrides]
    process = subprocess.run(command, check=False, capture_output=True, text=True)
    assert process.returncode == 2
    assert "facekd: the disk is full: " in process.stderr and "Traceback" not in process.stderr
    assert checkpoint.load_newest(Run(run).checkpoints) is not None
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    assert same_outcome(teacher_run, train(small_faces, run, *tiny_teacher_overrides))


def test_as_many_unreadable_images_as_the_recipe_allows_are_listed_and_no_more(
    small_faces: Path, tiny_teacher_overrides: tuple[str, ...], tmp_path: Path
) -> None:
    faces = tmp_path / "faces"
    run = tmp_path / "run"
    shutil.copytree(small_faces, faces)
    for number, image in enumerate(sorted(faces.rglob("*.*g"))[:9:4], 1):
        image.write_bytes(b"no image")
        if number == 2:
            train(faces, run, *tiny_teacher_overrides, "data.max_unreadable_images=2", "training.epochs=1")
    lines = (run / "unreadable_images.txt").read_text().splitlines()
    assert len(lines) == 2 and all(str(faces) in line for line in lines)
    with pytest.raises(DataError, match=r"unreadable_images\.txt"):
        train(faces, tmp_path / "other", *tiny_teacher_overrides, "data.max_unreadable_images=2", "training.epochs=1")


def test_a_finished_run_is_left_alone(
    teacher_run: Path, small_faces: Path, tiny_teacher_overrides: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {file: file.stat().st_mtime_ns for file in teacher_run.rglob("*")}

    def refuse(self: Trainer) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(Trainer, "fit", refuse)
    assert train(small_faces, teacher_run, *tiny_teacher_overrides) == teacher_run
    assert {file: file.stat().st_mtime_ns for file in teacher_run.rglob("*")} == before


def test_a_folder_of_another_recipe_is_refused(
    teacher_run: Path, small_faces: Path, tiny_teacher_overrides: tuple[str, ...]
) -> None:
    with pytest.raises(SetupError, match=r"run of another recipe \(training\.learning_rate was 0\.02 and is 0\.03\)"):
        train(small_faces, teacher_run, *tiny_teacher_overrides, "training.learning_rate=0.03")


def test_no_route_is_recorded_where_none_is_wanted(
    small_faces: Path, tiny_teacher_overrides: tuple[str, ...], tmp_path: Path
) -> None:
    run = train(small_faces, tmp_path / "run", *tiny_teacher_overrides, "training.epochs=0.2", "route.every_epochs=0")
    assert (run / "model.safetensors").is_file()
    assert not (run / "route").exists()


def test_every_second_epoch(small_faces: Path, tiny_teacher_overrides: tuple[str, ...], tmp_path: Path) -> None:
    values = ("training.batch_size=24", "training.epochs=5", "training.lr_schedule=cosine", "route.every_epochs=2")
    run = train(small_faces, tmp_path / "run", *tiny_teacher_overrides, *values)
    assert [(p.epoch, p.reason) for p in Route.open(run).points] == [(2, "epoch"), (4, "epoch"), (5, "last")]


def test_a_recipe_file_is_overridden_by_the_call(small_faces: Path, teacher_run: Path, tmp_path: Path) -> None:
    run = train(small_faces, tmp_path / "run", "training.epochs=0.1", recipe=teacher_run / "recipe.yaml")
    assert load_model(run / "model.safetensors").spec == load_model(teacher_run / "model.safetensors").spec
    assert [line["step"] for line in Run(run).read_log()][-1] == 1


@pytest.mark.parametrize(("values", "error", "message"), [
    (["training.bach_size=4"], RecipeError, "did you mean 'batch_size'"),
    (["training.batch_size=49"], DataError, "fewer than one batch of 49"),
    (["model.name=resnet"], RecipeError, "unknown model 'resnet'"),
    (["machine.device=cuda:99"], SetupError, "cuda:99"),
    (["head.name=sofmax"], FacekdError, "did you mean 'softmax'"),
    (["data.augmentation.kind=mirror"], RecipeError, "'flip', 'camera', 'crop' or 'resized-crop', not 'mirror'"),
    (["data.classes=9"], DataError, "has 8 classes, not 9"),
])
def test_mistakes_are_named(
    small_faces: Path, tiny_teacher_overrides: tuple[str, ...], tmp_path: Path, values: list[str],
    error: type[FacekdError], message: str,
) -> None:
    with pytest.raises(error, match=message):
        train(small_faces, tmp_path / "run", *tiny_teacher_overrides, *values)


def test_a_diverged_run_stops_with_a_message(
    small_faces: Path, tiny_teacher_overrides: tuple[str, ...], tmp_path: Path
) -> None:
    values = (*tiny_teacher_overrides, "training.learning_rate=1e30", "training.clip_grad_norm=1e30")
    with pytest.raises(FacekdError, match="no longer finite"):
        train(small_faces, tmp_path / "run", *values)
    assert not (tmp_path / "run" / "model.safetensors").exists()
    assert json.loads((tmp_path / "run" / "run.json").read_text())["outcome"] == "running"


@pytest.fixture
def copied_run(teacher_run: Path, tmp_path: Path) -> Path:
    """A copy of the finished run."""
    copy = shutil.copytree(teacher_run, tmp_path / "run")
    recipe = copy / "recipe.yaml"
    recipe.write_text(recipe.read_text(encoding="utf-8").replace(f"out: {teacher_run}\n", f"out: {copy}\n"))
    return copy


@pytest.mark.parametrize("content", [None, b"", b"damaged"])
def test_a_damaged_model_of_a_finished_run_is_made_again(
    teacher_run: Path, small_faces: Path, tiny_teacher_overrides: tuple[str, ...], copied_run: Path,
    capsys: pytest.CaptureFixture[str], content: bytes | None
) -> None:
    model = copied_run / "model.safetensors"
    model.unlink() if content is None else model.write_bytes(content)
    train(small_faces, copied_run, *tiny_teacher_overrides)
    assert same_outcome(teacher_run, copied_run)
    assert "is damaged or missing; the last checkpoint makes that again" in capsys.readouterr().err


def test_a_damaged_point_of_a_finished_run_is_named(
    small_faces: Path, tiny_teacher_overrides: tuple[str, ...], copied_run: Path
) -> None:
    next((copied_run / "route").glob("*.safetensors")).write_bytes(b"")
    with pytest.raises(RouteError, match="is not the file that was recorded"):
        train(small_faces, copied_run, *tiny_teacher_overrides)


def test_a_damaged_model_without_a_checkpoint_is_named(
    small_faces: Path, tiny_teacher_overrides: tuple[str, ...], copied_run: Path
) -> None:
    (copied_run / "model.safetensors").unlink()
    shutil.rmtree(copied_run / "checkpoints")
    with pytest.raises(DataError, match="no checkpoint can make that again"):
        train(small_faces, copied_run, *tiny_teacher_overrides)


def test_altered_images_between_two_calls_are_said_in_words_for_data(
    small_faces: Path, tiny_teacher_overrides: tuple[str, ...], tmp_path: Path, kill_at_step: Kill
) -> None:
    faces = shutil.copytree(small_faces, tmp_path / "faces")
    with kill_at_step(17):
        train(faces, tmp_path / "run", *tiny_teacher_overrides)
    image = next(faces.rglob("*.png"), None) or next(faces.rglob("*.jpg"))
    image.unlink()
    with pytest.raises(SetupError, match=r"run holds a run of other training data; choose another"):
        train(faces, tmp_path / "run", *tiny_teacher_overrides)
