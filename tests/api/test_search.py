from __future__ import annotations

import json
import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from facekd.api.distill import distill
from facekd.api.plan import plan
from facekd.api.search import cost_functions, search
from facekd.api.search_result import distill_commands, read_search
from facekd.api.train import train
from facekd.deploy.benchmark.latency import Latency
from facekd.deploy.source import ExportFormat, prepare_source
from facekd.deploy.targets.onnx import OnnxTarget
from facekd.deploy.validation import ExportValidator
from facekd.errors import ModelError
from facekd.models.architectures.resnet_pruned import Layout
from facekd.models.complexity import count_macs, count_parameters
from facekd.models.registry import create
from facekd.models.weights import load_model
from facekd.run import Run
from tests.api.conftest import QUICK_SEARCH


def test_all_students_are_networks_within_the_budget_that_nearly_use_it_up(search_run: Path) -> None:
    result = read_search(search_run)
    students = result.students
    assert list(students) == ["teacher", "searched", "uniform", "random_0", "random_1"]
    assert result.budget == students["teacher"].macs / 2
    for name, student in students.items():
        network = create("resnet_pruned", size=32, outputs=4, plan=student.plan)
        assert (student.macs, student.parameters) == (count_macs(network, 32), count_parameters(network))
        assert name == "teacher" or 0.85 < student.macs / result.budget <= 1
    assert result.reached == students["searched"].macs


def test_the_history_contains_lambda_and_the_cost(search_run: Path) -> None:
    history = read_search(search_run).history
    assert [line["epoch"] for line in history] == [1, 2, 3]
    assert history[0]["sparsity"] == pytest.approx(0.05) and history[0]["macs"] >= history[-1]["macs"]


def test_a_killed_search_goes_on_to_the_same_result(
    classifier_run: Path, search_run: Path, tmp_path: Path, kill_at_step: Callable[[int], AbstractContextManager[None]]
) -> None:
    with kill_at_step(9):
        search(classifier_run, tmp_path / "run", *QUICK_SEARCH)
    assert not (tmp_path / "run" / "search.json").exists()
    again = search(classifier_run, tmp_path / "run", *QUICK_SEARCH)
    assert (again / "search.json").read_text() == (search_run / "search.json").read_text()


def test_a_finished_search_is_not_done_again(classifier_run: Path, search_run: Path) -> None:
    before = (search_run / "search.json").stat().st_mtime_ns
    assert search(classifier_run, search_run, *QUICK_SEARCH) == search_run
    assert (search_run / "search.json").stat().st_mtime_ns == before and Run(search_run).finished


def test_the_student_is_trained_by_the_command_line_of_the_result(
    search_run: Path, classifier_run: Path, small_classes: Path, classes_overrides: tuple[str, ...], tmp_path: Path
) -> None:
    plan(classifier_run, tmp_path / "plan.json", strategy="final", anchors=1)
    line = distill_commands(search_run)[0].split()
    assert line[:5] == ["facekd", "distill", "DATASET", "PLAN", "runs/searched"]
    run = distill(small_classes, tmp_path / "plan.json", tmp_path / "student", *line[5:], *classes_overrides,
                  "training.epochs=0.5")
    student = load_model(run / "model.safetensors")
    assert student.spec.options["plan"] == read_search(search_run).students["searched"].plan


def test_a_searched_network_is_exported(tmp_path: Path) -> None:
    student = create("resnet_pruned", size=32, outputs=4, plan="16/16:-,8/32:20,-/64:9,10").eval()
    source = prepare_source(student, ExportFormat(), "student")
    target = OnnxTarget()
    files = target.convert(source, "fp32", tmp_path).files
    report = ExportValidator(source).validate(files[0], "fp32", lambda: target.open(files, source.io_spec))
    assert min(cosines.minimum for cosines in report.noise_cosines.values()) > 0.99999


def nanosecond_latency(model: Any, repeats: int = 100, warmup: int = 10) -> Latency:
    """The latency on a processor that needs one nanosecond per multiply-add."""
    ms = count_macs(model.model, 32) / 1e6
    return Latency(ms, (ms, ms), ms, repeats)


def test_a_budget_in_measured_milliseconds(
    classifier_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facekd.api.search.measure_latency", nanosecond_latency)
    values = (*QUICK_SEARCH, "cost=latency", "runtime=torch", "budget=12")
    result = read_search(search(classifier_run, tmp_path / "run", *values))
    student = result.students["searched"]
    assert (result.budget, result.runtime) == (12, "torch")
    assert 10 < student.latency <= 12 and student.macs == pytest.approx(1e6 * student.latency)


@pytest.mark.parametrize("runtime", ["torch", "onnxruntime"])
def test_latency_is_measured_on_either_runtime(classifier_run: Path, runtime: str) -> None:
    spec = load_model(classifier_run / "model.safetensors").spec
    milliseconds = cost_functions(spec, runtime)["latency"](Layout.parse("8/8:8/8:8/8:8"))
    assert 0 < milliseconds < math.inf


def test_a_budget_in_parameters(classifier_run: Path, tmp_path: Path) -> None:
    values = (*QUICK_SEARCH, "cost=parameters", "budget_fraction=0.3", "random_controls=0")
    result = read_search(search(classifier_run, tmp_path / "run", *values))
    assert result.budget == 0.3 * result.students["teacher"].parameters
    assert 0.8 < result.students["searched"].parameters / result.budget <= 1


def test_a_network_for_faces_is_searched_by_its_embeddings(
    small_faces: Path, tiny_teacher_overrides: tuple[str, ...], tmp_path: Path
) -> None:
    teacher = train(small_faces, tmp_path / "teacher", *tiny_teacher_overrides,
                    "model={name: resnet8, size: 32, embedding: 16}", "training.epochs=0.2")
    out = search(teacher, tmp_path / "run", *QUICK_SEARCH, "training.epochs=1", "random_controls=0")
    assert "student.embedding=16 " in distill_commands(out)[0]
    assert all(line["distance"] < 2 for line in Run(out).read_log())


@pytest.mark.parametrize(("values", "text"), [
    (("budget_fraction=0.01",), "the smallest subgraph, 8/8:8,8/8:8,8/8:8,8, costs"),
    (("budget=1e9",), r"is within budget=1e\+09 already; set it lower"),
    (("training.decay_all=true",), "leave out training.decay_all"),
    (("training.optimizer=adamw",), "follow plain SGD"),
    (("training.gradient_accumulation_steps=2",), "follow plain SGD"),
])
def test_what_cannot_be_searched_is_refused_before_the_search(
    classifier_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, values: tuple[str, ...], text: str
) -> None:
    monkeypatch.setattr("facekd.api.search.Trainer", None)
    with pytest.raises(ModelError, match=text):
        search(classifier_run, tmp_path / "run", *QUICK_SEARCH, *values)


def test_other_architectures_are_refused_by_name(teacher_run: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="holds iresnet10; a search runs in the ResNets for CIFAR only"):
        search(teacher_run, tmp_path / "run")


def test_the_command_line_prints_what_comes_next(
    run_cli: Callable[..., int], search_run: Path, classifier_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_cli("search", classifier_run, search_run, *QUICK_SEARCH) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{search_run}/search.json: written") and len(lines) == 1 + 4
    assert run_cli("search", search_run, "--show") == 0
    assert capsys.readouterr().out == f"{search_run}/search.svg: the picture\n"
    assert json.loads((search_run / "search.json").read_text())["format"] == "facekd.search"
