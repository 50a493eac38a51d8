from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from facekd.deploy.students.grid import Student
from tests.cli.conftest import RecordedCall

RunCli = Callable[..., int]
RecordCalls = Callable[..., list[RecordedCall]]
STUDENT = Student("mobilefacenet", {"width": 0.5}, 64, 128, "int8", 288_704, 59_102_464, 486_202)
DEFAULTS: dict[str, Any] = {
    "budget": None, "macs": None, "parameters": None, "latency": None, "measure": False, "embedding": None,
    "teacher": None, "architectures": [], "widths": [], "sizes": [], "precisions": [], "limit": None,
}


def test_students_has_these_defaults(run_cli: RunCli, record_calls: RecordCalls) -> None:
    calls = record_calls("facekd.api.deploy.students.students", [STUDENT])
    assert run_cli("students") == 0
    assert calls == [((), DEFAULTS)]


def test_students_passes_on_its_options(run_cli: RunCli, record_calls: RecordCalls) -> None:
    calls = record_calls("facekd.api.deploy.students.students", [STUDENT])
    arguments = ("--budget 1MB --macs 100M --parameters 1M --latency 5ms --architecture a,b --width 0.5,1 "
                 "--size 112,64 --precision fp32,int8 --teacher m --limit 3")
    assert run_cli("students", *arguments.split()) == 0
    assert calls == [((), {
        "budget": "1MB", "macs": "100M", "parameters": "1M", "latency": "5ms", "measure": False, "embedding": None,
        "teacher": "m", "architectures": ["a", "b"], "widths": [0.5, 1.0], "sizes": [112, 64],
        "precisions": ["fp32", "int8"], "limit": 3})]


def test_latency_without_a_time_measures_what_is_shown(
    run_cli: RunCli, record_calls: RecordCalls, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = record_calls("facekd.api.deploy.students.students", [replace(STUDENT, milliseconds=3.456)])
    assert run_cli("students", "--latency", "--embedding", "64") == 0
    assert calls == [((), {**DEFAULTS, "measure": True, "embedding": 64, "limit": 20})]
    output = capsys.readouterr().out
    assert "3.46" in output and "ms: median of one image on one thread" in output


def test_rows_beyond_the_limit_are_counted(
    run_cli: RunCli, record_calls: RecordCalls, capsys: pytest.CaptureFixture[str]
) -> None:
    record_calls("facekd.api.deploy.students.students", [STUDENT] * 5)
    assert run_cli("students", "--limit", "2") == 0
    output = capsys.readouterr().out
    assert output.count("mobilefacenet x0.5") == 2
    assert "3 more are within the limits; --limit 5 shows all" in output


def test_the_keys_of_the_best_are_printed(
    run_cli: RunCli, record_calls: RecordCalls, capsys: pytest.CaptureFixture[str]
) -> None:
    record_calls("facekd.api.deploy.students.students", [STUDENT])
    run_cli("students")
    assert ("student.name=mobilefacenet student.size=64 student.embedding=128 student.options.width=0.5"
            in capsys.readouterr().out)


@pytest.mark.parametrize(("arguments", "message"), [
    (["--limit", "0"], "--limit must be at least 1, not 0"),
    (["--size", "a"], "'a' is no list of whole numbers like 112,96"),
    (["--width", "1;2"], "'1;2' is no list of numbers like 0.5,0.75"),
])
def test_what_cannot_be_used_is_refused(
    run_cli: RunCli, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert run_cli("students", *arguments) == 2
    assert message in capsys.readouterr().err


def test_show_prints_one_model_or_all(run_cli: RunCli, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli("students", "show", "mobilefacenet") == 0
    assert "activation = prelu" in capsys.readouterr().out
    assert run_cli("students", "show") == 0
    assert "mobilenetv2" in capsys.readouterr().out
