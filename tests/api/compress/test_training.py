from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from facekd.api.compress import training
from facekd.api.compress.choice import Budget, Choice
from facekd.api.compress.conclusion import Conclusion
from facekd.api.compress.job import Job
from facekd.api.compress.steps import StepLog
from facekd.api.compress.teacher import Teacher
from facekd.models.weights import load_model


def test_the_student_begins_with_the_teacher_s_weights(compression: Conclusion) -> None:
    out = compression.report.parent
    assert load_model(out / "student" / "model.safetensors").spec == load_model(out / "part.safetensors").spec


@pytest.mark.parametrize(("minutes", "epochs"), [(None, 12.0), (1.5, 7.0)])
def test_a_fresh_student_has_the_teacher_s_length_and_the_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, minutes: float | None, epochs: float
) -> None:
    teacher = Teacher(Path("t.onnx"), {}, {}, 112, 48, "sha", has_route=False, problem="an operator")
    budget = Budget(bytes=300_000)
    job = Job(teacher, Path("t.onnx"), tmp_path, StepLog(tmp_path, {}), budget, None, None, None, "cpu", 3)
    calls: list[tuple[Any, ...]] = []
    monkeypatch.setattr(training, "open_faces", lambda path: range(100))
    monkeypatch.setattr(training, "distill", lambda *arguments: calls.append(arguments))
    monkeypatch.setattr(training, "default_epochs", lambda images: 12.0)
    monkeypatch.setattr(training, "training_speed", lambda *arguments: 100 * 7 / 90)
    training.train(job, Choice("student", ""), None, minutes)
    faces, plan, run, *keys = calls[0]
    assert (faces, plan, run) == (job.train_faces, job.plan, job.student)
    values = dict(key.split("=", 1) for key in keys)
    assert values["student.embedding"] == "48" and values["seed"] == "3"
    assert float(values["training.epochs"]) == epochs
    assert job.steps.decide("epochs", lambda: 0) == epochs
