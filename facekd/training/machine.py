"""Where the network runs: device, precision, threads and compilation, resolved from a recipe."""

from __future__ import annotations

import os
import shutil
from contextlib import AbstractContextManager

import torch
from torch import nn

from facekd.config import MachineRecipe
from facekd.distributed import own_device, place
from facekd.errors import SetupError
from facekd.training.activation_checkpointing import recompute


class Machine:
    """A resolved `MachineRecipe`.

    Args:
        recipe: what the user asked for.

    Raises:
        SetupError: the device is not there, or compiling on a CPU lacks a C++ compiler.

    Attributes:
        device: the device of the network.
        dtype: float32, or bfloat16 or float16 for autocast.
    """

    def __init__(self, recipe: MachineRecipe) -> None:
        self.device = own_device(find_device(recipe.device))
        automatic = "bfloat16" if self.device.type == "cuda" else "float32"
        self.dtype = getattr(torch, automatic if recipe.precision == "auto" else recipe.precision)
        self._compile, self._checkpointing = recipe.compile, recipe.checkpointing
        if recipe.threads:
            torch.set_num_threads(recipe.threads)
        if (
            recipe.compile and self.device.type == "cpu"
            and not any(map(shutil.which, (os.environ.get("CXX", "g++"), "clang++")))
        ):
            raise SetupError(
                "machine.compile=true needs a C++ compiler on a CPU: apt-get install g++; "
                "or set machine.compile=false"
            )

    def prepare(self, network: nn.Module) -> None:
        """Lay a network's weights out for this machine; checkpoint its blocks and compile it, in place, where asked."""
        network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if self._checkpointing:
            recompute(network)
        if self._compile:
            # On CPUs inductor leaves the layout of some networks alone, and copies for each depthwise gradient then.
            network.compile(options={"force_layout_optimization": True} if self.device.type == "cpu" else None)

    def autocast(self) -> AbstractContextManager[None]:
        """The context in which losses are computed."""
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32)

    def scaler(self) -> torch.amp.GradScaler:
        """What keeps small gradients from vanishing in float16; it lets all pass as it is in other precisions.

        A step whose gradients overflow in one process is left out by all.
        """
        if place()[1] == 1:
            return torch.amp.GradScaler(self.device.type, enabled=self.dtype == torch.float16)
        from torch.distributed.fsdp.sharded_grad_scaler import ShardedGradScaler  # slow to import

        return ShardedGradScaler(self.device.type, enabled=self.dtype == torch.float16)


def find_device(name: str) -> torch.device:
    """The device of that name; ``auto`` is CUDA, else Apple's MPS, else the CPU.

    Raises:
        SetupError: no such device here.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise SetupError(
            f"the device '{name}' cannot be used here ({reason}); use machine.device=auto or cpu"
        ) from error
    return device
