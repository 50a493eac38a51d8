from __future__ import annotations

import json
import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from facekd.api import search as verb
from facekd.api.distill import distill
from facekd.api.plan import plan
from facekd.api.search import find, next_steps, read_search, show
from facekd.api.train import teach
from facekd.deploy.benchmark.latency import Latency
from facekd.deploy.source import Form, freeze
from facekd.deploy.targets.onnx import OnnxTarget
from facekd.deploy.validation import Prover
from facekd.errors import DataError, ModelError
from facekd.models.architectures.resnet_pruned import Layout
from facekd.models.complexity import macs, parameters
from facekd.models.registry import create
from facekd.models.weights import load_model
from facekd.run import Run

QUICK = ("schedule.epochs=3", "schedule.batch=6", "schedule.learning_rate=0.05", "sparsity=0.05", "random=2",
         "machine.device=cpu", "machine.threads=1")


@pytest.fixture(scope="session")
def searched(taught_classes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished search at half the multiply-adds; tests must not change it."""
    return find(taught_classes, tmp_path_factory.mktemp("search") / "run", *QUICK)


def test_all_students_are_networks_within_the_budget_that_nearly_use_it_up(searched: Path) -> None:
    result = read_search(searched)
    students: dict[str, Any] = result["students"]
    assert list(students) == ["teacher", "found", "uniform", "random_0", "random_1"]
    assert result["budget"] == students["teacher"]["macs"] / 2
    for name, student in students.items():
        network = create("resnet_found", size=32, outputs=4, plan=student["plan"])
        assert (student["macs"], student["parameters"]) == (macs(network, 32), parameters(network))
        assert name == "teacher" or 0.85 < student["macs"] / result["budget"] <= 1
    assert result["reached"] == students["found"]["macs"]


def test_the_history_tells_how_lambda_grew(searched: Path) -> None:
    history = read_search(searched)["history"]
    assert [line["epoch"] for line in history] == [1, 2, 3]
    assert history[0]["sparsity"] == pytest.approx(0.05) and history[0]["macs"] >= history[-1]["macs"]


def test_a_killed_search_goes_on_to_the_same_result(
    taught_classes: Path, searched: Path, tmp_path: Path, kill_at_step: Callable[[int], AbstractContextManager[None]]
) -> None:
    with kill_at_step(9):
        find(taught_classes, tmp_path / "run", *QUICK)
    assert not (tmp_path / "run" / "search.json").exists()
    again = find(taught_classes, tmp_path / "run", *QUICK)
    assert (again / "search.json").read_text() == (searched / "search.json").read_text()


def test_a_finished_search_is_not_done_again(taught_classes: Path, searched: Path) -> None:
    before = (searched / "search.json").stat().st_mtime_ns
    assert find(taught_classes, searched, *QUICK) == searched
    assert (searched / "search.json").stat().st_mtime_ns == before and Run(searched).finished


def test_the_student_is_trained_by_the_line_that_is_told(
    searched: Path, taught_classes: Path, small_classes: Path, classes_recipe: tuple[str, ...], tmp_path: Path
) -> None:
    plan(taught_classes, tmp_path / "plan.json", "final", 1)
    line = next_steps(searched)[0].split()
    assert line[:5] == ["facekd", "distill", "FACES", "PLAN", "runs/found"]
    run = distill(small_classes, tmp_path / "plan.json", tmp_path / "student", *line[5:], *classes_recipe,
                  "schedule.epochs=0.5")
    student = load_model(run / "model.safetensors")
    assert student.spec.options["plan"] == read_search(searched)["students"]["found"]["plan"]


def test_a_found_network_is_exported(tmp_path: Path) -> None:
    student = create("resnet_found", size=32, outputs=4, plan="16/16:-,8/32:20,-/64:9,10").eval()
    source, target = freeze(student, Form(), "student"), OnnxTarget()
    made = target.convert(source, "fp32", tmp_path)
    proof = Prover(source).prove(made.files[0], "fp32", lambda: target.open(made.files, source.interface))
    assert min(found.minimum for found in proof.noise.values()) > 0.99999


def test_a_picture_lies_beside_the_result(searched: Path) -> None:
    picture = show(searched)
    reached = f"{read_search(searched)['reached'] / 1e6:.3g} of at most 13.3 million multiply-adds"
    assert picture == searched / "search.svg"
    assert f"resnet14 and the student found in it: {reached}" in picture.read_text()


def timed(model: Any, repeats: int = 100, warmup: int = 10) -> Latency:
    """A processor that needs a nanosecond a multiply-add."""
    ms = macs(model.model, 32) / 1e6
    return Latency(ms, (ms, ms), ms, repeats)


def test_a_budget_in_measured_milliseconds(
    taught_classes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verb, "latency", timed)
    result = read_search(find(taught_classes, tmp_path / "run", *QUICK, "cost=latency", "runtime=torch", "limit=12"))
    found = result["students"]["found"]
    assert (result["budget"], result["runtime"]) == (12, "torch")
    assert 10 < found["latency"] <= 12 and found["macs"] == pytest.approx(1e6 * found["latency"])


@pytest.mark.parametrize("runtime", ["torch", "onnxruntime"])
def test_latency_is_measured_on_either_runtime(taught_classes: Path, runtime: str) -> None:
    spec = load_model(taught_classes / "model.safetensors").spec
    milliseconds = verb._prices(spec, runtime)["latency"](Layout.parse("8/8:8/8:8/8:8"))
    assert 0 < milliseconds < math.inf


def test_a_budget_in_parameters(taught_classes: Path, tmp_path: Path) -> None:
    result = read_search(find(taught_classes, tmp_path / "run", *QUICK, "cost=parameters", "share=0.3", "random=0"))
    assert result["budget"] == 0.3 * result["students"]["teacher"]["parameters"]
    assert 0.8 < result["students"]["found"]["parameters"] / result["budget"] <= 1


def test_a_network_for_faces_is_searched_by_its_embeddings(small_faces: Path, small: tuple[str, ...],
                                                           tmp_path: Path) -> None:
    teacher = teach(small_faces, tmp_path / "teacher", *small, "model={name: resnet8, size: 32, embedding: 16}",
                    "schedule.epochs=0.2")
    out = find(teacher, tmp_path / "run", *QUICK, "schedule.epochs=1", "random=0")
    assert "student.embedding=16 " in next_steps(out)[0]
    assert all(line["distance"] < 2 for line in Run(out).read_log())


@pytest.mark.parametrize(("values", "text"), [
    (("share=0.01",), "the smallest subgraph, 8/8:8,8/8:8,8/8:8,8, costs"),
    (("limit=1e9",), "as it is; set it lower"), (("schedule.decay_all=true",), "leave out schedule.decay_all"),
    (("schedule.optimizer=adamw",), "follow plain SGD"), (("schedule.accumulate=2",), "follow plain SGD"),
])
def test_what_cannot_be_searched_is_said_before_the_search(
    taught_classes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, values: tuple[str, ...], text: str
) -> None:
    monkeypatch.setattr(verb, "_search", None)
    with pytest.raises(ModelError, match=text):
        find(taught_classes, tmp_path / "run", *QUICK, *values)


def test_other_architectures_are_refused_by_name(taught: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="holds iresnet10; a search runs in the ResNets for CIFAR only"):
        find(taught, tmp_path / "run")


def test_without_a_finished_search_nothing_is_drawn(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"search\.json does not exist; run 'facekd search TEACHER"):
        show(tmp_path)


def test_the_command_line_prints_what_comes_next(
    call: Callable[..., int], searched: Path, taught_classes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("search", taught_classes, searched, *QUICK) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{searched}/search.json: written") and len(lines) == 1 + 4
    assert call("search", searched, "--show") == 0
    assert capsys.readouterr().out == f"{searched}/search.svg: the picture\n"
    assert json.loads((searched / "search.json").read_text())["format"] == "facekd.search"
