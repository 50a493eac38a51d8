"""Verbs that several processes do together, started as people start them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
from safetensors.numpy import load_file

from facekd.api.distill import distill
from facekd.api.plan import plan
from facekd.route.route import Route
from facekd.run import Run

Torchrun = Callable[..., CompletedProcess[str]]


@pytest.fixture(scope="module")
def taught_by_two(small_faces: Path, small: tuple[str, ...], torchrun: Torchrun,
                  tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("two") / "teacher"
    torchrun(2, "facekd", "teach", small_faces, run, *small)
    return run


def test_two_processes_leave_one_run(taught: Path, taught_by_two: Path) -> None:
    run = Run(taught_by_two)
    assert run.finished
    lines = run.read_log()
    assert [line["step"] for line in lines] == [line["step"] for line in Run(taught).read_log()]
    assert [point.step for point in Route.open(run.path).points] == [p.step for p in Route.open(taught).points]
    assert lines[-1]["loss"] < lines[0]["loss"]
    assert all(np.isfinite(value).all() for value in load_file(run.model).values())


def test_two_processes_follow_a_teacher_whose_cache_they_make_together(
    taught_by_two: Path, small_faces: Path, torchrun: Torchrun, tmp_path: Path
) -> None:
    words = ("student.name=mobilenetv2", "student.options={width: 0.35}", "student.size=32", "student.embedding=16",
             "method=cosine", "schedule.batch=8", "schedule.epochs=2", "schedule.learning_rate=0.02", "cache=float32",
             "machine.device=cpu", "machine.threads=1")
    plan(taught_by_two, tmp_path / "plan.json", "final", 1)
    cache = taught_by_two / "route" / "cache"
    distill(small_faces, tmp_path / "plan.json", tmp_path / "one", *words)
    alone = {file.name: np.load(file) for file in cache.glob("*.npy")}
    for file in cache.iterdir():
        file.unlink()
    torchrun(2, "facekd", "distill", small_faces, tmp_path / "plan.json", tmp_path / "both", *words)
    together = {file.name: np.load(file) for file in cache.iterdir()}
    assert len(alone) == 2
    for name, rows in alone.items():
        np.testing.assert_allclose(together.pop(name), rows, rtol=1e-4, atol=1e-5)
    assert together == {}
    losses = [[line["loss"] for line in Run(tmp_path / name).read_log()] for name in ("one", "both")]
    assert losses[1] == pytest.approx(losses[0], rel=0.1)  # batch norm sees 4 images there and 8 here
    assert losses[1][-1] < losses[1][0]


def test_a_process_that_fails_ends_the_job_with_its_own_traceback(
    small_faces: Path, small: tuple[str, ...], torchrun: Torchrun, tmp_path: Path
) -> None:
    words = ("broken", tmp_path / "mark", "teach", small_faces, tmp_path / "run", *small)
    ended = torchrun(2, "tests.api.dying", *words, check=False)
    assert ended.returncode != 0
    cause = ended.stderr[ended.stderr.index("Root Cause (first observed failure)"):]
    assert "rank      : 1" in cause
    assert "ArithmeticError: the abacus is broken" in cause
    assert json.loads((tmp_path / "run" / "run.json").read_text())["outcome"] == "running"


def test_after_one_was_shot_all_go_on_from_the_last_checkpoint_and_end_the_same(
    taught_by_two: Path, small_faces: Path, small: tuple[str, ...], torchrun: Torchrun, tmp_path: Path
) -> None:
    words = ("shot", tmp_path / "mark", "teach", small_faces, tmp_path / "run", *small)
    torchrun(2, "tests.api.dying", *words, options=["--max-restarts=1"])
    assert (tmp_path / "mark").exists()
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == (taught_by_two / "model.safetensors").read_bytes()


def test_a_batch_that_cannot_be_shared_out_is_refused(
    small_faces: Path, small: tuple[str, ...], torchrun: Torchrun, tmp_path: Path
) -> None:
    ended = torchrun(3, "facekd", "teach", small_faces, tmp_path / "run", *small, check=False)
    assert "a batch of 4 images cannot be shared out equally among 3 processes; set schedule.batch" in ended.stderr


def test_work_for_one_process_is_refused(tmp_path: Path, torchrun: Torchrun) -> None:
    ended = torchrun(2, "facekd", "pack", tmp_path, tmp_path / "out", check=False)
    assert ended.returncode != 0
    assert "'facekd pack' is work for one process; start it without torchrun" in ended.stderr
