"""The hardware settings of a run: device, precision, threads and compilation, resolved from a recipe."""

from __future__ import annotations

import os
import shutil
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn

from facekd.config import MachineRecipe
from facekd.distributed import get_world_size, local_device
from facekd.errors import SetupError
from facekd.training.activation_checkpointing import apply_activation_checkpointing
from facekd.utils.device import resolve_device

THREADS_PER_CORE = 4
MIN_THREAD_LIMIT = 64
"""Threads that are allowed on a machine of few cores."""


class Machine:
    """A resolved `MachineRecipe`; built once in a run, and passed to all that computes.

    Building it also sets torch's number of threads for this process, where ``machine.threads`` is given.

    Args:
        recipe: the settings of the user.

    Raises:
        SetupError: the device is absent, there are too many threads, or a C++ compiler is missing for compilation on a
            CPU.

    Attributes:
        recipe: the settings of the user.
        device: the device of the network.
        dtype: float32, or bfloat16 or float16 for autocast.
    """

    def __init__(self, recipe: MachineRecipe) -> None:
        self.recipe = recipe
        self.device = local_device(resolve_device(recipe.device))
        default_precision = "bfloat16" if self.device.type == "cuda" else "float32"
        self.dtype = getattr(torch, default_precision if recipe.precision == "auto" else recipe.precision)
        if recipe.threads:
            _set_threads(recipe.threads)
        if (
            recipe.compile and self.device.type == "cpu"
            and not any(map(shutil.which, (os.environ.get("CXX", "g++"), "clang++")))
        ):
            raise SetupError(
                "machine.compile=true needs a C++ compiler on a CPU: apt-get install g++; "
                "or set machine.compile=false"
            )

    def prepare(self, network: nn.Module) -> None:
        """Move a network to the device in channels-last layout, in place.

        Where the recipe sets them, activation checkpointing and compilation are applied as well.
        """
        network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if self.recipe.activation_checkpointing:
            apply_activation_checkpointing(network)
        if self.recipe.compile:
            # On CPUs inductor keeps the layout of some networks, and then copies for every depthwise gradient.
            network.compile(options={"force_layout_optimization": True} if self.device.type == "cpu" else None)

    def autocast(self) -> AbstractContextManager[None]:
        """Return the context in which losses are computed."""
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32)

    def without_compilation(self) -> AbstractContextManager[None]:
        """Return the context in which networks run eagerly: for passes whose shapes or modes are not the training's."""
        if self.recipe.compile:
            return torch.compiler.set_stance("force_eager")  # type: ignore[no-any-return]
        return nullcontext()

    def build_grad_scaler(self) -> torch.amp.GradScaler:
        """Return a gradient scaler for float16; it is disabled for other precisions.

        If gradients overflow on any rank, all ranks skip the step.
        """
        if get_world_size() == 1:
            return torch.amp.GradScaler(self.device.type, enabled=self.dtype == torch.float16)
        from torch.distributed.fsdp.sharded_grad_scaler import ShardedGradScaler  # slow to import

        return ShardedGradScaler(self.device.type, enabled=self.dtype == torch.float16)


def _set_threads(count: int) -> None:
    limit = max(MIN_THREAD_LIMIT, THREADS_PER_CORE * (os.cpu_count() or 1))
    if count > limit:  # far beyond it the system gives no more threads, and OpenMP ends the process
        raise SetupError(f"machine.threads={count} is more than {limit}, {THREADS_PER_CORE} for each core of this "
                         "machine; leave it out for one thread per core")
    torch.set_num_threads(count)
