"""The processes that torchrun starts: which one is this, and what they tell each other."""

from __future__ import annotations

import atexit
import os
from typing import TypeVar

import torch
from torch import distributed

T = TypeVar("T")


def place() -> tuple[int, int]:
    """This process's rank and the number of processes; (0, 1) where torchrun did not start it.

    The first call joins the others, over gloo: what is told is small, and any machine has it.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world > 1 and not distributed.is_initialized():
        distributed.init_process_group("gloo")
        atexit.register(distributed.destroy_process_group)  # left open, it can abort the process at its very end
    return (distributed.get_rank(), world) if world > 1 else (0, 1)


def own_device(device: torch.device) -> torch.device:
    """The device of this process: of several CUDA devices the one with its local rank."""
    if device.type == "cuda" and device.index is None and "LOCAL_RANK" in os.environ:
        return torch.device("cuda", int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
    return device


def wait() -> None:
    """Wait until all processes are here."""
    if place()[1] > 1:
        distributed.barrier()


def gathered(mine: T) -> list[T] | None:
    """What every process brings, in order of rank, for the first process; None for the others."""
    rank, world = place()
    if world == 1:
        return [mine]
    everything: list[T] | None = [mine] * world if rank == 0 else None
    distributed.gather_object(mine, everything)
    return everything


def part(count: int, rank: int, world: int) -> range:
    """The things of ``count`` that a rank holds: contiguous, in order of ranks, and equally many but for one."""
    return range(count * rank // world, count * (rank + 1) // world)
