"""Distributed commands in several processes of torchrun, as users start them."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
from safetensors.numpy import load_file

from facekd.api.distill import distill
from facekd.api.plan import plan
from facekd.data.synthetic.dataset import write_faces
from facekd.route.route import Route
from facekd.run import Run

Torchrun = Callable[..., CompletedProcess[str]]


@pytest.fixture(scope="module")
def two_process_run(small_faces: Path, tiny_teacher_overrides: tuple[str, ...], torchrun: Torchrun,
                    tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished run of a tiny teacher that two processes trained."""
    run = tmp_path_factory.mktemp("two") / "teacher"
    torchrun(2, "facekd", "train", small_faces, run, *tiny_teacher_overrides)
    return run


def test_two_processes_leave_one_run(teacher_run: Path, two_process_run: Path) -> None:
    run = Run(two_process_run)
    assert run.finished
    lines = run.read_log()
    assert [line["step"] for line in lines] == [line["step"] for line in Run(teacher_run).read_log()]
    assert [point.step for point in Route.open(run.path).points] == [p.step for p in Route.open(teacher_run).points]
    assert lines[-1]["loss"] < lines[0]["loss"]
    assert all(np.isfinite(value).all() for value in load_file(run.model).values())


def test_two_processes_follow_a_teacher_whose_cache_they_share(
    two_process_run: Path, small_faces: Path, torchrun: Torchrun, tmp_path: Path
) -> None:
    values = ("student.name=mobilenetv2", "student.options={width: 0.35}", "student.size=32", "student.embedding=16",
              "method=cosine", "training.batch_size=8", "training.epochs=2", "training.learning_rate=0.02",
              "teacher_cache=float32", "machine.device=cpu", "machine.threads=1")
    plan(two_process_run, tmp_path / "plan.json", strategy="final", anchors=1)
    cache = two_process_run / "route" / "cache"
    distill(small_faces, tmp_path / "plan.json", tmp_path / "one", *values)
    of_one_process = {file.name: np.load(file) for file in cache.glob("*.npy")}
    for file in cache.iterdir():
        file.unlink()
    torchrun(2, "facekd", "distill", small_faces, tmp_path / "plan.json", tmp_path / "two", *values)
    of_two_processes = {file.name: np.load(file) for file in cache.glob("*.npy")}
    assert len(of_one_process) == 2
    for name, rows in of_one_process.items():
        np.testing.assert_allclose(of_two_processes.pop(name), rows, rtol=1e-4, atol=1e-5)
    assert of_two_processes == {}
    losses = [[line["loss"] for line in Run(tmp_path / name).read_log()] for name in ("one", "two")]
    assert losses[1] == pytest.approx(losses[0], rel=0.1)  # batch norm sees 4 images there and 8 here
    assert losses[1][-1] < losses[1][0]


def test_a_process_that_fails_ends_the_job_with_its_own_traceback(
    small_faces: Path, tiny_teacher_overrides: tuple[str, ...], torchrun: Torchrun, tmp_path: Path
) -> None:
    words = ("broken", tmp_path / "mark", "train", small_faces, tmp_path / "run", *tiny_teacher_overrides)
    process = torchrun(2, "tests.api.dying", *words, check=False)
    assert process.returncode != 0
    cause = process.stderr[process.stderr.index("Root Cause (first observed failure)"):]
    assert "rank      : 1" in cause
    assert "ArithmeticError: the abacus is broken" in cause
    assert json.loads((tmp_path / "run" / "run.json").read_text())["outcome"] == "running"


def test_after_one_was_killed_all_continue_from_the_last_checkpoint_to_the_same_bytes(
    two_process_run: Path, small_faces: Path, tiny_teacher_overrides: tuple[str, ...], torchrun: Torchrun,
    tmp_path: Path,
) -> None:
    words = ("killed", tmp_path / "mark", "train", small_faces, tmp_path / "run", *tiny_teacher_overrides)
    torchrun(2, "tests.api.dying", *words, options=["--max-restarts=1"])
    assert (tmp_path / "mark").exists()
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == (two_process_run / "model.safetensors").read_bytes()


def test_a_batch_that_cannot_be_divided_is_refused(
    small_faces: Path, tiny_teacher_overrides: tuple[str, ...], torchrun: Torchrun, tmp_path: Path
) -> None:
    process = torchrun(3, "facekd", "train", small_faces, tmp_path / "run", *tiny_teacher_overrides, check=False)
    message = "a batch of 4 images cannot be shared out equally among 3 processes; set training.batch_size"
    assert message in process.stderr


def test_a_command_for_one_process_is_refused(torchrun: Torchrun) -> None:
    process = torchrun(2, "facekd", "pack", "faces", "out", check=False)
    assert process.returncode != 0
    assert process.stderr.count("'facekd pack' runs in one process; start it without torchrun") == 1


def test_one_process_verifies_while_the_other_waits(
    fixtures: Path, run: Run, torchrun: Torchrun, run_cli: Callable[..., int], tmp_path: Path
) -> None:
    words = ("eval", "verify", "--model", run.path, "--pairs", fixtures / "pairs.bin", "--device", "cpu", "--json")
    assert run_cli(*words, tmp_path / "one.json") == 0
    process = torchrun(2, "facekd", *words, tmp_path / "two.json")
    of_one, of_two = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("one", "two"))
    assert {**of_two, "command_line": ""} == {**of_one, "command_line": ""}
    assert process.stdout.count("AUC ") == 1
    assert process.stderr.count("'facekd eval verify' works in the first process; the other 1 wait for it") == 1


def test_all_sets_are_evaluated_by_one_process(run: Run, fixtures: Path, torchrun: Torchrun, tmp_path: Path) -> None:
    """MegaFace alone would be shared; here no other process takes part in it."""
    sets = tmp_path / "sets"
    write_faces(sets / "probes", range(3), 2, size=32)
    write_faces(sets / "distractors", range(50, 60), 1, size=32)
    shutil.copy(fixtures / "pairs.bin", sets / "lfw.bin")
    torchrun(2, "facekd", "eval", "all", "--model", run.path, "--sets", sets, "--device", "cpu")
    rows = json.loads((run.results / "all-sets.json").read_text())["rows"]
    assert {row["name"] for row in rows if row["status"] == "measured"} == {"lfw", "megaface"}


@pytest.mark.parametrize("command", ["verify --model none --pairs p.bin", "megaface --probes none --distractors d.npy"])
def test_a_mistake_is_shown_once_and_all_processes_end_with_2(
    torchrun: Torchrun, tmp_path: Path, command: str
) -> None:
    process = torchrun(2, "facekd", "eval", *command.split(), check=False, options=[f"--log-dir={tmp_path}"])
    assert process.returncode != 0
    assert process.stderr.count("none does not exist") == 1
    assert set(re.findall(r"exitcode +: (-?\d+)", process.stderr)) == {"2"}


def test_a_wrong_option_is_shown_once(torchrun: Torchrun) -> None:
    process = torchrun(2, "facekd", "eval", "megaface", "--nonsense", check=False)
    assert process.stderr.count("error: not understood: --nonsense") == 1


def test_two_processes_evaluate_megaface_to_the_result_of_one(
    fixtures: Path, torchrun: Torchrun, run_cli: Callable[..., int], tmp_path: Path
) -> None:
    features = fixtures / "features"
    words = ("eval", "megaface", "--probes", features / "probes.npy", "--distractors", features / "distractors.npy",
             "--device", "cpu", "--json")
    assert run_cli(*words, tmp_path / "one.json") == 0
    process = torchrun(2, "facekd", *words, tmp_path / "two.json")
    of_one, of_two = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("one", "two"))
    assert {**of_two, "command_line": ""} == {**of_one, "command_line": ""}
    assert of_one["distractors"] == 40 and process.stdout.count("rank-1 ") == 1  # one process prints
    with np.load(tmp_path / "one.npz") as counts_of_one, np.load(tmp_path / "two.npz") as counts_of_two:
        for name in counts_of_one:
            np.testing.assert_array_equal(counts_of_one[name], counts_of_two[name])


def test_two_processes_embed_and_evaluate_face_sets_to_the_result_of_one(
    fixtures: Path, run: Run, distractors: Path, torchrun: Torchrun, run_cli: Callable[..., int], tmp_path: Path
) -> None:
    words = ("eval", "megaface", "--model", run.path, "--probes", fixtures / "folder", "--distractors", distractors,
             "--device", "cpu", "--name", "faces")
    result = run.results / "megaface-faces.json"
    assert run_cli(*words) == 0
    of_one = json.loads(result.read_text())
    result.unlink()
    for further_words in ((), ("--features", tmp_path / "features")):  # shared batches; one process embeds into files
        torchrun(2, "facekd", *words, *further_words)
        of_two = json.loads(result.read_text())
        assert {**of_two, "command_line": ""} == {**of_one, "command_line": ""}
        result.unlink()
