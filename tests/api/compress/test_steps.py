from __future__ import annotations

import json
from pathlib import Path

import pytest

from facekd.api.compress.steps import FILE, StepLog, read_steps
from facekd.errors import SetupError

REQUEST = {"teacher": "abc", "epochs": None}


class Work:
    """Makes a file and counts its calls."""

    def __init__(self, output: Path) -> None:
        self.output = output
        self.calls = 0

    def __call__(self) -> None:
        self.calls += 1
        self.output.write_text("made")


def test_a_finished_step_is_not_repeated_and_its_command_is_kept(tmp_path: Path) -> None:
    work = Work(tmp_path / "plan.json")
    for _ in range(2):
        StepLog(tmp_path, REQUEST).run("plan", ["facekd", "plan", Path("a b")], work.output, work)
    assert work.calls == 1
    (step,) = read_steps(tmp_path).steps
    assert (step.name, step.command) == ("plan", "facekd plan 'a b'") and step.seconds >= 0


def test_a_step_is_repeated_if_its_output_or_its_command_is_another(tmp_path: Path) -> None:
    work, steps = Work(tmp_path / "plan.json"), StepLog(tmp_path, REQUEST)
    steps.run("plan", ["facekd", "plan"], work.output, work)
    work.output.unlink()
    steps.run("plan", ["facekd", "plan"], work.output, work)
    steps.run("plan", ["facekd", "plan", "--anchors", "2"], work.output, work)
    assert work.calls == 3
    assert [step.command for step in steps.steps] == ["facekd plan --anchors 2"]


def test_a_step_that_fails_is_not_finished(tmp_path: Path) -> None:
    output = tmp_path / "plan.json"

    def fail() -> None:
        output.write_text("half")
        raise SetupError("the disk is full")

    steps = StepLog(tmp_path, REQUEST)
    with pytest.raises(SetupError, match="the disk is full"):
        steps.run("plan", ["facekd", "plan"], output, fail)
    work = Work(output)
    StepLog(tmp_path, REQUEST).run("plan", ["facekd", "plan"], output, work)
    assert work.calls == 1


def test_a_decision_is_made_once(tmp_path: Path) -> None:
    assert StepLog(tmp_path, REQUEST).decide("epochs", lambda: 7.5) == 7.5
    assert StepLog(tmp_path, REQUEST).decide("epochs", lambda: 9.0) == 7.5


def test_another_request_is_refused_with_the_argument_that_differs(tmp_path: Path) -> None:
    StepLog(tmp_path, REQUEST).decide("epochs", lambda: 1)
    with pytest.raises(SetupError, match="holds a compression with epochs=None, not 3; choose another folder"):
        StepLog(tmp_path, {**REQUEST, "epochs": 3})


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    StepLog(tmp_path, REQUEST).decide("epochs", lambda: 1)
    content = json.loads((tmp_path / FILE).read_text())
    (tmp_path / FILE).write_text(json.dumps({**content, "steps": [{"name": 3}]}))
    with pytest.raises(SetupError, match=r"compress\.json is damaged: 'steps\.0\.name'"):
        StepLog(tmp_path, REQUEST)
