"""Two processes that average their gradients keep one student, whatever it is trained by.

What each rank measures or remembers for itself may differ between them: see `OWN`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, distributed, nn

from facekd.data.loader import Batch
from facekd.ranks import gathered, place
from facekd.training.method import Method, Stage
from tests.methods.noise import noise
from tests.methods.test_methods import METHODS

STEPS = 3
OWN = {
    "running_mean", "running_var",  # batch norm
    "student_bank", "teacher_bank", "classes", "log_z",  # crd
    "student_thresholds", "teacher_thresholds",  # ekd
    "centres",  # adadistill
    "beta",  # prokt in the mode dual
}
"""Buffers that follow the images a rank was shown; training on several ranks will have to bring them together."""

Findings = Mapping[str, Mapping[str, list[str]]]
"""By method: names of ``weights`` and ``buffers`` that differ between the ranks, and of those not ``finite``."""


@pytest.fixture(scope="module")
def findings(tmp_path_factory: pytest.TempPathFactory) -> Findings:
    out = tmp_path_factory.mktemp("ranks") / "findings.json"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2",
               "-m", "tests.methods.test_ranks", str(out)]
    ended = subprocess.run(command, check=False, capture_output=True, text=True, env=environment, timeout=180)
    assert ended.returncode == 0, ended.stderr
    found: Findings = json.loads(out.read_text())
    return found


@pytest.mark.parametrize("name", METHODS)
def test_the_ranks_keep_the_same_finite_weights(findings: Findings, name: str) -> None:
    assert (findings[name]["weights"], findings[name]["infinite"]) == ([], [])


@pytest.mark.parametrize("name", METHODS)
def test_only_what_a_rank_sees_for_itself_differs(findings: Findings, name: str) -> None:
    assert {buffer for buffer in findings[name]["buffers"] if buffer.rpartition(".")[2] not in OWN} == set()


def test_every_buffer_that_may_differ_does_in_some_method(findings: Findings) -> None:
    assert {buffer.rpartition(".")[2] for found in findings.values() for buffer in found["buffers"]} >= OWN


def work(out: Path) -> None:
    """What each rank does: all methods, one after the other, on its half of every batch."""
    rank, world = place()
    torch.set_num_threads(1)
    findings = {}
    for name, make in METHODS.items():
        torch.manual_seed(0)
        method = make()
        method.begin(Stage(1, (0,)))
        method.train()
        train(method, rank, world)
        states = gathered(method.state_dict())
        if states is not None:
            findings[name] = compare({key for key, _ in method.named_parameters()}, *states)
    if rank == 0:
        out.write_text(json.dumps(findings))


def train(method: Method, rank: int, world: int) -> None:
    optimizer = torch.optim.SGD(method.parameters(), lr=0.02, momentum=0.9)
    for step, batch in enumerate(noise(batch=16).run(0, STEPS)):
        for terms in method.turns(half(batch, rank, world), step / STEPS):
            optimizer.zero_grad(set_to_none=True)
            torch.stack(list(terms.values())).sum().backward()  # type: ignore[no-untyped-call]
            average([weight for weight in method.parameters() if weight.requires_grad], world)
            for part in method.children():
                nn.utils.clip_grad_norm_(part.parameters(), 5)
            optimizer.step()


def half(batch: Batch, rank: int, world: int) -> Batch:
    mine = slice(rank, None, world)
    return replace(batch, images=batch.images[mine], labels=batch.labels[mine], index=batch.index[mine],
                   slot=batch.slot[mine])


def average(weights: list[nn.Parameter], world: int) -> None:
    """Gradients become their mean over the ranks; a weight that has none on any rank is left without."""
    there = torch.tensor([weight.grad is not None for weight in weights]).int()
    distributed.all_reduce(there, distributed.ReduceOp.MAX)
    for weight, reached in zip(weights, there.tolist(), strict=True):
        if reached and weight.grad is None:
            weight.grad = torch.zeros_like(weight)
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    total = torch.cat([gradient.flatten() for gradient in gradients])
    distributed.all_reduce(total)
    means = torch.split_with_sizes(total / world, [gradient.numel() for gradient in gradients])
    for gradient, mean in zip(gradients, means, strict=True):
        gradient.copy_(mean.view_as(gradient))


def compare(weights: set[str], first: dict[str, Tensor], second: dict[str, Tensor]) -> dict[str, list[str]]:
    differ = [key for key, value in first.items() if not torch.equal(value, second[key])]
    return {"weights": [key for key in differ if key in weights], "buffers": [k for k in differ if k not in weights],
            "infinite": [key for state in (first, second) for key, value in state.items()
                         if not bool(value.isfinite().all())]}


if __name__ == "__main__":
    work(Path(sys.argv[1]))
