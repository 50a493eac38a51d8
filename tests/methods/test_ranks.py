"""Two processes that train a method together keep one student, whatever it is trained by."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor

from facekd.config import MachineRecipe, ScheduleRecipe
from facekd.distributed import gathered, place
from facekd.errors import ModelError
from facekd.training.machine import Machine
from facekd.training.method import Method, Stage
from facekd.training.sharded_state import sharded
from facekd.training.train_step import Stepper
from tests.methods.noise import noise
from tests.methods.test_methods import METHODS

STEPS = 3
OWN = {"running_mean", "running_var"}
"""Buffers that follow the images a process was shown, until a checkpoint takes their means."""
ALONE = ("crd", "ekd", "adadistill", "everything")
"""What remembers images, and cannot be trained by several processes; every loss at once has one such."""

Findings = Mapping[str, Mapping[str, list[str]]]
"""By method: names of ``weights`` and ``buffers`` that differ between the ranks, and of those not ``finite``."""


@pytest.fixture(scope="module")
def findings(tmp_path_factory: pytest.TempPathFactory, torchrun: Callable[..., object]) -> Findings:
    out = tmp_path_factory.mktemp("ranks") / "findings.json"
    torchrun(2, "tests.methods.test_ranks", out)
    found: Findings = json.loads(out.read_text())
    return found


SHARED = [name for name in METHODS if not any(word in name for word in ALONE)]


@pytest.mark.parametrize("name", SHARED)
def test_the_ranks_keep_the_same_finite_weights(findings: Findings, name: str) -> None:
    assert (findings[name]["weights"], findings[name]["infinite"]) == ([], [])


@pytest.mark.parametrize("name", SHARED)
def test_only_statistics_of_what_a_rank_sees_differ(findings: Findings, name: str) -> None:
    assert {buffer for buffer in findings[name]["buffers"] if buffer.rpartition(".")[2] not in OWN} == set()


@pytest.mark.parametrize("name", [name for name in METHODS if name not in SHARED])
def test_what_remembers_images_is_refused(findings: Findings, name: str) -> None:
    assert "train in one process" in findings[name]["refused"][0]


def work(out: Path) -> None:
    """What each rank does: all methods, one after the other, on its half of every batch."""
    torch.set_num_threads(1)
    findings = {}
    for name, make in METHODS.items():
        torch.manual_seed(0)
        try:
            method = make()
        except ModelError as error:
            findings[name] = {"refused": [str(error)]}
            continue
        method.begin(Stage(1, (0,)))
        method.train()
        train(method)
        shards = sharded(method)
        states = gathered({name: value for name, value in method.state_dict().items() if name not in shards})
        if states is not None:
            findings[name] = compare({key for key, _ in method.named_parameters()}, *states)
    if place()[0] == 0:
        out.write_text(json.dumps(findings))


def train(method: Method) -> None:
    machine = Machine(MachineRecipe(device="cpu", threads=1))
    stepper = Stepper(method, ScheduleRecipe(batch=16), machine, machine.scaler(), None)
    for step, batch in enumerate(noise(16, place()).run(0, STEPS)):
        stepper(batch, 0.02, step / STEPS)


def compare(weights: set[str], first: dict[str, Tensor], second: dict[str, Tensor]) -> dict[str, list[str]]:
    differ = [key for key, value in first.items() if not torch.equal(value, second[key])]
    return {"weights": [key for key in differ if key in weights], "buffers": [k for k in differ if k not in weights],
            "infinite": [key for state in (first, second) for key, value in state.items()
                         if not bool(value.isfinite().all())]}


if __name__ == "__main__":
    work(Path(sys.argv[1]))
