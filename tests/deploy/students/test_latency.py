from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from facekd.deploy.students import latency
from facekd.deploy.students.grid import Student
from facekd.deploy.targets.base import Precision
from facekd.errors import ModelError
from facekd.models.onnx_embedder import OnnxEmbedder


def student(macs: int, precision: Precision = "fp32", name: str = "iresnet10") -> Student:
    return Student(name, {"width": 0.125}, 32, 16, precision, 1, macs, 1)


def test_an_untrained_file_has_the_layers_of_the_network(tmp_path: Path) -> None:
    latency.write_untrained(student(1), tmp_path / "a.onnx")
    operators = Counter(node.op_type for node in onnx.load(str(tmp_path / "a.onnx")).graph.node)
    assert (operators["Conv"], operators["Gemm"], operators["Relu"], operators["PRelu"]) == (13, 1, 5, 0)


@pytest.mark.parametrize(("precision", "operator"), [("fp16", "Cast"), ("int8", "QuantizeLinear")])
def test_an_untrained_file_has_its_precision_and_runs(tmp_path: Path, precision: Precision, operator: str) -> None:
    latency.write_untrained(student(1, precision), tmp_path / "a.onnx")
    assert operator in {node.op_type for node in onnx.load(str(tmp_path / "a.onnx")).graph.node}
    assert OnnxEmbedder(tmp_path / "a.onnx", threads=1).forward(np.zeros((1, 32, 32, 3), np.uint8)).shape == (1, 16)


def test_every_student_gets_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latency, "WARMUP", 0)
    small, large = latency.measure_students([student(1), student(2, "int8")], rounds=2)
    assert 0 < (small.milliseconds or 0) < 1000 and large.precision == "int8" and large.milliseconds is not None


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> list[Student]:
    """Replaces the measurement: a student takes one millisecond per multiply-add, plus one. Returns whom it timed."""
    calls: list[Student] = []

    def time_students(students: Sequence[Student], rounds: int) -> NDArray[np.float64]:
        calls.extend(students)
        return np.array([[s.macs + 1.0] * rounds for s in students])

    monkeypatch.setattr(latency, "_time_students", time_students)
    return calls


def test_only_students_that_can_be_within_the_limit_are_measured(timed: list[Student]) -> None:
    students = [student(macs) for macs in range(100, 0, -1)]
    found = latency.students_within(students, 20.0, 5)
    assert [(s.macs, s.milliseconds) for s in found] == [(macs, macs + 1.0) for macs in (19, 18, 17, 16, 15)]
    assert {s.macs for s in timed} == {100, 1} | set(range(15, 25))


def test_a_survey_on_a_busy_machine_is_corrected(monkeypatch: pytest.MonkeyPatch, timed: list[Student]) -> None:
    students = [student(macs) for macs in range(100, 0, -1)]
    survey = [replace(end, milliseconds=10 * (end.macs + 1.0)) for end in (students[0], students[-1])]
    monkeypatch.setattr(latency, "_survey", lambda students: survey)
    assert [s.macs for s in latency.students_within(students, 50.0, 3)] == [49, 48, 47]


def test_more_are_measured_until_enough_are_within_the_limit(timed: list[Student]) -> None:
    found = latency.students_within([student(macs) for macs in range(100, 0, -1)], 20.0, 15)
    assert [s.macs for s in found] == list(range(19, 4, -1))


def test_each_precision_has_a_line_of_its_own(timed: list[Student], monkeypatch: pytest.MonkeyPatch) -> None:
    students = [student(macs, precision) for macs in (40, 20, 10) for precision in ("fp32", "int8")]  # type: ignore[arg-type]
    assert [s.precision for s in latency.students_within(students, 21.0, 9)] == ["fp32", "int8"] * 2


def test_if_none_is_within_the_limit_the_fastest_is_named(timed: list[Student]) -> None:
    with pytest.raises(ModelError) as error:
        latency.students_within([student(9), student(5, name="iresnet18")], 2.0, 1)
    assert str(error.value) == ("no student of the grid takes at most 2 ms here: the fastest measured one is iresnet18 "
                                "x0.125 at 32 px in fp32, 16-d with 6 ms; give a larger --latency")


@pytest.mark.parametrize(("load", "is_busy"), [(0.5, False), (1e6, True)])
def test_a_busy_machine_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], load: float, is_busy: bool
) -> None:
    monkeypatch.setattr(latency.os, "getloadavg", lambda: (load, 0.0, 0.0))
    latency.warn_if_busy()
    assert ("the machine is busy" in capsys.readouterr().err) == is_busy
