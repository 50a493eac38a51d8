"""Devices, precisions, threads and layouts of a machine."""

from __future__ import annotations

import shutil

import pytest
import torch

from facekd.config import MachineRecipe
from facekd.errors import SetupError
from facekd.training.machine import Machine


@pytest.mark.parametrize(("precision", "product"), [
    ("auto", torch.float32), ("float32", torch.float32), ("bfloat16", torch.bfloat16),
    ("float16", torch.float16),
])
def test_precision_on_a_cpu(precision: str, product: torch.dtype) -> None:
    machine = Machine(MachineRecipe.model_validate({"device": "cpu", "precision": precision}))
    with machine.autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == product


@pytest.mark.parametrize(("precision", "scale"), [("float32", 1), ("bfloat16", 1), ("float16", 2**16)])
def test_losses_are_scaled_in_float16_alone(precision: str, scale: float) -> None:
    scaler = Machine(MachineRecipe.model_validate({"device": "cpu", "precision": precision})).build_grad_scaler()
    assert float(scaler.scale(torch.ones(()))) == scale


def test_threads_are_set() -> None:
    before = torch.get_num_threads()
    try:
        Machine(MachineRecipe(device="cpu", threads=1))
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_weights_are_laid_out_channels_last() -> None:
    network = torch.nn.Conv2d(3, 8, 3)
    Machine(MachineRecipe(device="cpu")).prepare(network)
    assert network.weight.is_contiguous(memory_format=torch.channels_last)


def test_compiling_without_a_compiler_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(SetupError, match=r"g\+\+"):
        Machine(MachineRecipe(device="cpu", compile=True))


def test_a_device_without_values_is_refused() -> None:
    with pytest.raises(SetupError, match=r"the device .meta. cannot be used here \(.*\); use machine.device=auto"):
        Machine(MachineRecipe.model_construct(device="meta"))


def test_more_threads_than_a_machine_has_are_refused() -> None:
    before = torch.get_num_threads()
    with pytest.raises(SetupError, match=r"machine\.threads=60000 is more than \d+, 4 for each core"):
        Machine(MachineRecipe(device="cpu", threads=60_000))
    assert torch.get_num_threads() == before
