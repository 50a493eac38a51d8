"""Each check against a run that has its mistake."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from facekd.preflight import checks
from facekd.preflight.job import open_job
from facekd.preflight.resources import ResourceUse


@pytest.fixture
def find_mistakes(recipe: Path, tmp_path: Path) -> Callable[..., list[str]]:
    """``find_mistakes("training.batch_size=8", world_size=3)`` returns the findings of that run."""

    def find(*overrides: str, world_size: int = 1) -> list[str]:
        job = open_job(recipe, [f"out={tmp_path / 'run'}", *overrides], world_size)
        return [f"{finding.level}: {finding.message}" for check in checks.CHECKS for finding in check(job)]

    return find


def test_a_job_without_mistakes_has_no_findings(find_mistakes: Callable[..., list[str]]) -> None:
    assert find_mistakes("training.learning_rate=0.001") == []


@pytest.mark.parametrize(("training", "world_size", "message"), [
    ("batch_size: 9, learning_rate: 0.002", 2, "error: a batch of 9 images cannot be shared out equally among 2"),
    ("batch_size: 64, learning_rate: 0.01", 1, "error: .* holds 48 images, fewer than one step of 64"),
    ("batch_size: 4, gradient_accumulation_steps: 16, learning_rate: 0.01", 1,
     "error: .* holds 48 images, fewer than one step of 64"),
    ("batch_size: 18, learning_rate: 0.003", 9, "error: 8 classes cannot be shared out among 9"),
    ("batch_size: 4, learning_rate: 0.1", 1, r"warning: .* is 1.3e\+02 times"),
    ("batch_size: 4, learning_rate: 0.0001", 1, r"warning: .* is 0.13 times"),
    ("batch_size: 4, optimizer: adamw", 1, r"warning: .*learning_rate=0.1 is 1e\+02 times .* with AdamW"),
])
def test_a_mistake_is_found(
    find_mistakes: Callable[..., list[str]], training: str, world_size: int, message: str
) -> None:
    (finding,) = find_mistakes(f"training={{{training}}}", world_size=world_size)
    assert re.match(message, finding), finding


def test_one_class_is_a_mistake(find_mistakes: Callable[..., list[str]], small_faces: Path, tmp_path: Path) -> None:
    person = next(small_faces.iterdir())
    shutil.copytree(person, tmp_path / "set" / person.name)
    training = "training={batch_size: 4, learning_rate: 0.001}"
    (finding,) = find_mistakes(f"dataset={tmp_path / 'set'}", training)
    assert re.match("error: .*set holds one class, from whose labels nothing can be learned", finding)


def test_labels_that_are_not_there_are_a_mistake(find_mistakes: Callable[..., list[str]]) -> None:
    (finding,) = find_mistakes("data={labels: false}", "training={batch_size: 4, learning_rate: 0.001}")
    assert re.match(r"error: .* has no labels, and the objective needs them \(labels\)", finding)


def test_rates_in_proportion_to_the_images_of_a_step_are_accepted(find_mistakes: Callable[..., list[str]]) -> None:
    for batch_size, accumulation in ((4, 1), (8, 2), (4, 8)):
        rate = 0.1 * batch_size * accumulation / 512
        training = f"batch_size: {batch_size}, gradient_accumulation_steps: {accumulation}, learning_rate: {rate}"
        assert find_mistakes(f"training={{{training}}}") == []


def test_a_folder_with_another_run_is_an_error(recipe: Path) -> None:
    same, other = (open_job(recipe, keys, 1) for keys in ([], ["seed=1"]))
    assert list(checks.check_run_folder(same)) == []
    (finding,) = checks.check_run_folder(other)
    assert finding.level == "error" and "seed was 0 and is 1" in finding.examples


@pytest.mark.parametrize(("free", "level"), [(10, "error"), (110, "warning"), (200, "")])
def test_memory_and_disk_are_compared_with_what_is_free(
    recipe: Path, monkeypatch: pytest.MonkeyPatch, free: int, level: str
) -> None:
    job = open_job(recipe, [], 1)
    uses = [ResourceUse("all", 100)]
    monkeypatch.setattr(checks, "available_memory", lambda device: free)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=free))
    for findings in (checks.check_memory(job, uses), checks.check_disk(job, uses, [])):
        assert [finding.level for finding in findings] == ([level] if level else [])


def test_the_processes_of_a_cpu_share_its_memory(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "available_memory", lambda device: 300)
    levels = {}
    for device in ("cpu", "cuda"):
        job = open_job(recipe, [f"machine.device={device}"], 4)
        levels[device] = [finding.level for finding in checks.check_memory(job, [ResourceUse("all", 100)])]
    assert levels == {"cpu": ["error"], "cuda": []}


def test_a_gpu_of_another_machine_is_no_error(recipe: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a graphics card")
    job = open_job(recipe, ["machine.device=cuda"], 1)
    assert job.dtype == torch.bfloat16
    assert checks.available_memory("cuda") is None
    assert list(checks.check_memory(job, [ResourceUse("all", 2**50)])) == []


def test_all_checks_run_together(recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "available_memory", lambda device: 50)
    job = open_job(recipe, [f"out={tmp_path / 'run'}", "training.batch_size=9", "training.learning_rate=0.002"], 2)
    findings = checks.run_checks(job, [ResourceUse("all", 100)], [], [])
    assert [finding.level for finding in findings] == ["error", "error"]
    assert "cannot be shared out" in findings[0].message and "are needed" in findings[1].message
