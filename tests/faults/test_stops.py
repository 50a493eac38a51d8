"""A command is killed, ended or out of space: the same command completes the work, and nothing is left over."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from facekd.api.train import train
from facekd.run import Run
from facekd.training.checkpoint import list_checkpoints
from tests.faults.conftest import Start
from tests.faults.verbs import SLOW, TINY, VERBS, Inputs, Verb

RunCli = Callable[..., int]
Whole = Callable[[Verb], dict[str, bytes]]

VERB = {verb.name: verb for verb in VERBS if verb.name not in SLOW}
RENAMES = range(1, 7)
SHORT = (("pack", 3), ("embed", 2))
cases = pytest.mark.parametrize(("name", "number"), [
    *SHORT, *(pytest.param(name, number, marks=pytest.mark.soak) for name in VERB for number in RENAMES
              if (name, number) not in SHORT)])


@pytest.fixture(scope="session")
def whole(inputs: Inputs, start: Start, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """``whole(verb)`` returns the files that an unbroken call of a command writes."""
    known: dict[str, dict[str, bytes]] = {}

    def contents(verb: Verb) -> dict[str, bytes]:
        if verb.name not in known:
            out = verb.output(tmp_path_factory.mktemp("whole"))
            process = start(*verb.arguments(inputs, out))
            error = process.communicate()[1]
            assert process.returncode == 0, error
            known[verb.name] = verb.contents(out)
        return known[verb.name]

    return contents


def leftovers(folder: Path) -> list[str]:
    """The temporaries and locks in a folder."""
    return [file.name for file in folder.rglob(".*") if file.suffix in (".tmp", ".lock", ".holder")]


def complete(run_cli: RunCli, verb: Verb, inputs: Inputs, out: Path, whole: Whole) -> None:
    """Run the command again, and compare the result with that of an unbroken call."""
    if verb.name in ("pack", "clean") and (out / "train.rec").exists() and not (out / "train.idx").exists():
        # Its four files are renamed one after the other; the message says to remove those of a killed call.
        assert run_cli(*verb.arguments(inputs, out)) == 2
        shutil.rmtree(out)
    assert run_cli(*verb.arguments(inputs, out)) == 0
    assert verb.contents(out) == whole(verb)
    assert leftovers(out.parent) == []


@cases
def test_a_command_that_is_killed_at_a_rename_is_completed_by_the_same_command(
    run_cli: RunCli, start: Start, inputs: Inputs, whole: Whole, tmp_path: Path, name: str, number: int
) -> None:
    verb, out = VERB[name], VERB[name].output(tmp_path)
    process = start(*verb.arguments(inputs, out), fault=("die", number))
    error = process.communicate()[1]
    assert process.returncode in (-signal.SIGKILL, 0), error  # 0: it renames fewer files
    if process.returncode or name not in ("pack", "export", "route import", "clean"):  # these refuse what exists
        complete(run_cli, verb, inputs, out, whole)


@cases
def test_a_disk_that_fills_is_one_sentence_and_the_same_command_goes_on(
    run_cli: RunCli, start: Start, inputs: Inputs, whole: Whole, tmp_path: Path, name: str, number: int
) -> None:
    verb, out = VERB[name], VERB[name].output(tmp_path)
    process = start(*verb.arguments(inputs, out), fault=("full", number))
    error = process.communicate()[1]
    assert process.returncode in (2, 0), error
    if process.returncode == 2:
        assert "facekd: the disk is full: " in error
        assert "Traceback" not in error
        assert leftovers(tmp_path) == []
        complete(run_cli, verb, inputs, out, whole)


@pytest.mark.soak
@pytest.mark.parametrize("name", VERB)
def test_a_command_that_is_killed_at_random_times_ends_with_the_same_bytes(
    run_cli: RunCli, start: Start, inputs: Inputs, whole: Whole, tmp_path: Path, name: str
) -> None:
    verb, out = VERB[name], VERB[name].output(tmp_path)
    generator = random.Random(name)
    for _ in range(5):
        process = start(*verb.arguments(inputs, out), fault=("die-after", generator.uniform(0, 3)))
        error = process.communicate()[1]
        if process.returncode == 0:
            return
        assert process.returncode == -signal.SIGKILL, error
    complete(run_cli, verb, inputs, out, whole)


def wait_for(condition: Callable[[], object], seconds: float = 60) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.skipif(os.name != "posix", reason="SIGTERM is POSIX'")
@pytest.mark.parametrize(("number", "code", "text"), [
    (signal.SIGTERM, 143, "ended by SIGTERM; the same command continues"),
    pytest.param(signal.SIGINT, 130, "stopped; the same command continues", marks=pytest.mark.soak),
])
def test_a_training_that_is_ended_writes_a_checkpoint(
    start: Start, inputs: Inputs, tmp_path: Path, number: int, code: int, text: str
) -> None:
    run = Run(tmp_path / "run")
    words = (*TINY, "training.epochs=8")
    process = start("train", inputs.faces, run.path, *words)
    wait_for(lambda: list_checkpoints(run.checkpoints))
    process.send_signal(number)
    error = process.communicate(timeout=30)[1]
    assert process.returncode == code
    assert error.rstrip().endswith(text)
    steps = [int(file.name.split("-")[1]) for file in list_checkpoints(run.checkpoints)]
    assert run.read_log()[-1]["step"] == steps[-1] < 96
    assert leftovers(tmp_path) == []
    ended = train(inputs.faces, run.path, *words)
    whole = train(inputs.faces, tmp_path / "whole", *words)
    assert (ended / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


@pytest.mark.skipif(os.name != "posix", reason="SIGTERM is POSIX'")
@pytest.mark.parametrize("name", [
    "pack", *(pytest.param(name, marks=pytest.mark.soak) for name in VERB if name != "pack")])
def test_a_command_that_is_ended_leaves_no_temporaries(start: Start, inputs: Inputs, tmp_path: Path, name: str) -> None:
    verb, out = VERB[name], VERB[name].output(tmp_path)
    process = start(*verb.arguments(inputs, out), fault=("hold", 30))
    wait_for(lambda: any(file.suffix == ".holder" for file in tmp_path.rglob(".*")))
    process.send_signal(signal.SIGTERM)
    assert "ended by SIGTERM; the same command continues" in process.communicate(timeout=30)[1]
    assert process.returncode == 143
    assert leftovers(tmp_path) == []
