"""The work of one process in `test_distributed`: ``python -m tests.methods.worker FILE`` under torchrun."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from torch import Tensor

from facekd.config import MachineRecipe, TrainingRecipe
from facekd.distributed import gather_objects, get_rank, get_world_size, init_distributed, is_main_process
from facekd.errors import ModelError
from facekd.training.machine import Machine
from facekd.training.method import Method, Stage
from facekd.training.sharded_state import sharded_heads
from facekd.training.train_step import TrainStep
from tests.methods.cases import METHODS
from tests.methods.noise import noise_loader

STEPS = 3


def run(out: Path) -> None:
    """Train all methods one after the other on this rank's half of every batch; rank 0 writes the differences."""
    init_distributed()
    torch.set_num_threads(1)
    findings = {}
    for name, make in METHODS.items():
        torch.manual_seed(0)
        try:
            method = make()
        except ModelError as error:
            findings[name] = {"refused": [str(error)]}
            continue
        method.on_stage_start(Stage(1, (0,)))
        method.train()
        train(method)
        shards = sharded_heads(method)
        states = gather_objects({key: value for key, value in method.state_dict().items() if key not in shards})
        if states is not None:
            findings[name] = compare({key for key, _ in method.named_parameters()}, *states)
    if is_main_process():
        out.write_text(json.dumps(findings))


def train(method: Method) -> None:
    machine = Machine(MachineRecipe(device="cpu", threads=1))
    train_step = TrainStep(method, TrainingRecipe(batch_size=16), machine, machine.build_grad_scaler(), None)
    for step, batch in enumerate(noise_loader(16, get_rank(), get_world_size()).iter_steps(0, STEPS)):
        train_step(batch, 0.02, step / STEPS)


def compare(weights: set[str], first: dict[str, Tensor], second: dict[str, Tensor]) -> dict[str, list[str]]:
    """Return the names of weights and buffers that differ between two ranks, and of tensors that are not finite."""
    different = [key for key, value in first.items() if not torch.equal(value, second[key])]
    return {"weights": [key for key in different if key in weights],
            "buffers": [key for key in different if key not in weights],
            "infinite": [key for state in (first, second) for key, value in state.items()
                         if not bool(value.isfinite().all())]}


if __name__ == "__main__":
    run(Path(sys.argv[1]))
