"""Every command that writes says in one sentence that it cannot, before the work and without leaving anything."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.verbs import VERBS, WAITING, Inputs, Verb

RunCli = Callable[..., int]
Capture = pytest.CaptureFixture[str]
MAX_SECONDS = 5.0
"""Processor time of a refusal."""
MAX_CHARACTERS = 300
"""Of a message, without the paths."""
HOLD_ALL = """
import contextlib, sys
from facekd.io.locks import lock_output
with contextlib.ExitStack() as stack:
    for path in sys.argv[1:]:
        stack.enter_context(lock_output(path))
    print("held", flush=True)
    sys.stdin.readline()
"""

every_verb = pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)


def refusal(run_cli: RunCli, capsys: Capture, verb: Verb, inputs: Inputs, out: Path) -> str:
    """Run a command that must be refused at once, and return its message without the paths."""
    capsys.readouterr()
    begin = time.process_time()
    assert run_cli(*verb.arguments(inputs, out)) == 2
    assert time.process_time() - begin < MAX_SECONDS
    (message,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("facekd: ")]
    message = message.replace(str(out), "OUT").replace(str(out.parent), "FOLDER")
    assert len(message) < MAX_CHARACTERS
    return message


@every_verb
def test_a_read_only_place(run_cli: RunCli, capsys: Capture, verb: Verb, inputs: Inputs, read_only: Path) -> None:
    message = refusal(run_cli, capsys, verb, inputs, verb.output(read_only / "new"))
    assert "OUT cannot be written: the file system is read-only; choose another output" in message


@every_verb
def test_a_full_disk(run_cli: RunCli, capsys: Capture, verb: Verb, inputs: Inputs, full: Path) -> None:
    message = refusal(run_cli, capsys, verb, inputs, verb.output(full))
    assert "the disk is full: " in message
    assert "free some space" in message
    assert [file.name for file in full.rglob("*") if file.is_file()] == ["filling"]


@every_verb
def test_something_of_another_kind_in_the_way(
    run_cli: RunCli, capsys: Capture, verb: Verb, inputs: Inputs, tmp_path: Path
) -> None:
    out = verb.output(tmp_path)
    if verb.folder:
        out.write_text("mine")
    else:
        out.mkdir()
    kind = "(no folder|a file)" if verb.folder else "a folder"
    assert re.search(rf"^facekd: OUT is {kind}\b", refusal(run_cli, capsys, verb, inputs, out))
    assert list(tmp_path.iterdir()) == [out]
    assert out.is_dir() or out.read_text() == "mine"


@every_verb
def test_a_file_in_place_of_a_parent(
    run_cli: RunCli, capsys: Capture, verb: Verb, inputs: Inputs, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("mine")
    message = refusal(run_cli, capsys, verb, inputs, verb.output(tmp_path / "file" / "a"))
    assert "/file is in the way; choose another output or remove it" in message
    assert (tmp_path / "file").read_text() == "mine"


@every_verb
def test_a_name_that_is_too_long(
    run_cli: RunCli, capsys: Capture, verb: Verb, inputs: Inputs, tmp_path: Path
) -> None:
    message = refusal(run_cli, capsys, verb, inputs, verb.output(tmp_path / ("n" * 256)))
    assert "the name is too long; choose a shorter one" in message
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, int]]:
    """A folder in which a process writes the outputs of all commands, and the process."""
    folder = tmp_path_factory.mktemp("held")
    outputs = sorted({str(verb.output(folder)) for verb in VERBS})
    command = [sys.executable, "-c", HOLD_ALL, *outputs]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield folder, process.pid
        process.communicate("\n")


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb.name not in WAITING], ids=lambda verb: verb.name)
def test_an_output_that_another_process_writes(
    run_cli: RunCli, capsys: Capture, verb: Verb, inputs: Inputs, held: tuple[Path, int]
) -> None:
    folder, process = held
    message = refusal(run_cli, capsys, verb, inputs, verb.output(folder))
    assert f"OUT is being written by process {process} on host " in message
    assert "; wait for it or choose another output" in message
    assert not verb.output(folder).exists()
