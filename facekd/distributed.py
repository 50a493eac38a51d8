"""The processes that torchrun starts: which one is this, and what they tell each other."""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, distributed
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

T = TypeVar("T")


def place() -> tuple[int, int]:
    """This process's rank and the number of processes; (0, 1) where torchrun did not start it.

    The first call joins the others: over gloo, which any machine has, and for what lies on CUDA devices over NCCL.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world > 1 and not distributed.is_initialized():
        _join()
    return (distributed.get_rank(), world) if world > 1 else (0, 1)


def _join() -> None:
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(own_device(torch.device("cuda")))
    store, rank, world = next(rendezvous("env://"))
    # Restarted processes would find the addresses of those before them there (pytorch/pytorch#135712).
    store = PrefixStore(f"attempt {os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)
    distributed.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo", store=store, rank=rank, world_size=world)
    atexit.register(distributed.destroy_process_group)  # left open, it can abort the process at its very end


def leads() -> bool:
    """Whether this is the process that writes for all."""
    return place()[0] == 0


def own_device(device: torch.device) -> torch.device:
    """The device of this process: of several CUDA devices the one with its local rank."""
    if device.type == "cuda" and device.index is None and "LOCAL_RANK" in os.environ:
        return torch.device("cuda", int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
    return device


def wait() -> None:
    """Wait until all processes are here."""
    if place()[1] > 1:
        distributed.barrier()


def told(work: Callable[[], T]) -> T:
    """What the first process finds, for all of them; the others wait for it and do not work themselves.

    What the first raises is raised there, and ends the others with it.
    """
    rank, world = place()
    found = [work() if rank == 0 else None]
    if world > 1:
        distributed.broadcast_object_list(found, 0, device=torch.device("cpu"))
    return found[0]  # type: ignore[return-value]


def gathered(mine: T) -> list[T] | None:
    """What every process brings, in order of rank, for the first process; None for the others."""
    rank, world = place()
    if world == 1:
        return [mine]
    everything: list[T] | None = [mine] * world if rank == 0 else None
    distributed.gather_object(mine, everything)
    return everything


def mean(value: Tensor) -> Tensor:
    """The mean of what all processes bring, the same bits for each; any shape, in place."""
    world = place()[1]
    if world > 1:
        distributed.all_reduce(value)
        value /= world
    return value


def part(count: int, rank: int, world: int) -> range:
    """The things of ``count`` that a rank holds: contiguous, in order of ranks, and equally many but for one."""
    return range(count * rank // world, count * (rank + 1) // world)
