from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import facekd
from facekd.api.deploy.students import choose_student, students
from facekd.errors import ModelError, OptionError

SMALL: dict[str, Any] = {"architectures": ["iresnet10"], "widths": [0.125, 0.25], "sizes": [112, 64]}
"""A grid that is counted quickly."""


def test_they_are_within_all_limits_and_the_best_is_first() -> None:
    found = students(budget="1MB", macs="60M", parameters="1M", embedding=128, **SMALL)
    assert found and all(s.bytes <= 10**6 and s.macs <= 60e6 and s.parameters <= 1e6 for s in found)
    assert [s.macs for s in found] == sorted((s.macs for s in found), reverse=True)
    assert choose_student(budget="1MB", macs="60M", parameters="1M", embedding=128, **SMALL) == found[0]


def test_without_limits_the_whole_grid_is_returned() -> None:
    assert len(students(embedding=128, **SMALL)) == 2 * 2 * 3


def test_no_milliseconds_without_measurement() -> None:
    assert {s.milliseconds for s in students(**SMALL)} == {None}


def test_the_embedding_is_that_of_the_teacher(shared: Path) -> None:
    teacher = shared / "faces" / "teacher" / "mobilefacenet_128d.onnx"
    assert {s.embedding for s in students(teacher=teacher, **SMALL)} == {128}


@pytest.mark.parametrize(("arguments", "error", "message"), [
    ({"budget": "1"}, OptionError, "--budget must be a size like 1MB"),
    ({"macs": "5ms"}, OptionError, "--macs must be a number like 100M"),
    ({"latency": "5"}, OptionError, "--latency must be a time like 5ms"),
    ({"embedding": 128, "teacher": "t"}, OptionError, "leave one of them out"),
    ({"limit": 0}, OptionError, "at least 1, not 0"),
    ({"embedding": 0}, ModelError, "outputs must be a whole number"),
    ({"budget": "50kB"}, ModelError, r"no student of the grid has at most 0.05 MB: the smallest is iresnet10 x0.125 at "
                                     r"64 px in int8, 512-d with 0\.\d+ MB; give a larger --budget"),
])
def test_what_cannot_be_used_is_refused(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        students(**arguments, **SMALL)


@pytest.mark.parametrize(("arguments", "name", "given"), [
    ({"latency": "5ms", "limit": 3}, "students_within", (5.0, 3)), ({"latency": "5ms"}, "students_within", (5.0, 20)),
    ({"measure": True, "limit": 2}, "measure_students", ()),
])
def test_latency_is_measured_on_request(
    monkeypatch: pytest.MonkeyPatch, arguments: dict[str, Any], name: str, given: tuple[float, ...]
) -> None:
    calls: list[Any] = []
    monkeypatch.setattr(f"facekd.deploy.students.latency.{name}", lambda rows, *rest: calls.append(rest) or rows[:1])
    assert len(students(**arguments, **SMALL)) == 1
    assert calls == [given]


def test_it_is_a_function_of_the_package() -> None:
    assert facekd.students is students and facekd.choose_student is choose_student
