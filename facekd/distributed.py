"""Communication between the processes of one distributed run (torchrun).

`init_distributed` joins the process group; it is the only function here that changes state. `get_rank` and
`get_world_size` read ``torch.distributed``: before `init_distributed`, and without torchrun, a process is rank 0 of 1.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, distributed
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from facekd.errors import SetupError

T = TypeVar("T")


def init_distributed() -> None:
    """Join the process group if torchrun started this process; do nothing on later calls, and without torchrun.

    The backend is gloo for tensors on a CPU and, where CUDA is available, NCCL for tensors on a GPU. With CUDA the
    process also selects the GPU of its local rank. The group is destroyed at exit.
    """
    if distributed.is_initialized() or launched_processes() == 1:
        return
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(local_device(torch.device("cuda")))
    store, rank, world_size = open_store()
    backend = "cpu:gloo,cuda:nccl" if cuda else "gloo"
    distributed.init_process_group(backend, store=store, rank=rank, world_size=world_size)
    atexit.register(distributed.destroy_process_group)  # a group left open can abort the process at its very end


def open_store() -> tuple[Store, int, int]:
    """Return the store that the processes of this attempt share, the rank, and the number of processes."""
    store, rank, world_size = next(rendezvous("env://"))
    # Restarted processes would read the addresses of the previous attempt (pytorch/pytorch#135712).
    return PrefixStore(f"attempt {os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store), rank, world_size


def check_initialized() -> None:
    """Check that a process of a distributed run has joined the process group; otherwise it would work alone.

    Raises:
        SetupError: torchrun started several processes, and `init_distributed` was not called.
    """
    if launched_processes() > 1 and not distributed.is_initialized():
        raise SetupError("torchrun started several processes, and this one has not joined the others; call "
                         "facekd.distributed.init_distributed() first, or start it without torchrun")


def launched_processes() -> int:
    """Return the number of processes that torchrun started according to the environment, 1 without torchrun."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def get_rank() -> int:
    """Return the rank of this process, 0 without a process group."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def get_world_size() -> int:
    """Return the number of processes, 1 without a process group."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def is_main_process() -> bool:
    """Return whether this is rank 0, the process that writes all files."""
    return get_rank() == 0


def local_device(device: torch.device) -> torch.device:
    """Return the device of this process: for ``cuda`` without an index, the GPU of the local rank."""
    if device.type == "cuda" and device.index is None and "LOCAL_RANK" in os.environ:
        return torch.device("cuda", int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
    return device


def barrier() -> None:
    """Wait until all processes have reached this call."""
    if get_world_size() > 1:
        distributed.barrier()


def run_on_main_and_broadcast(work: Callable[[], T], *, timeout: timedelta | None = None) -> T:
    """Run ``work`` on rank 0 and return its result on all ranks.

    If it raises, rank 0 fails and the launcher stops the other processes, which wait for the result.

    Args:
        work: the work.
        timeout: how long the other ranks wait; None for the default of the process group, which is some minutes.
    """
    group = None
    if timeout is not None and get_world_size() > 1:
        group = distributed.new_group(timeout=timeout, backend="gloo")
    result = [work() if is_main_process() else None]
    if get_world_size() > 1:
        distributed.broadcast_object_list(result, 0, group, device=torch.device("cpu"))
    if group is not None:
        distributed.destroy_process_group(group)
    return result[0]  # type: ignore[return-value]


def broadcast_array(array: NDArray[np.generic], source: int) -> None:
    """Copy an array of rank ``source`` into the arrays of all ranks, in place.

    Args:
        array: contiguous, in memory, of the same shape and type on all ranks.
        source: the rank whose array is copied.
    """
    if get_world_size() > 1 and array.size:
        distributed.broadcast(torch.from_numpy(array), source)


def gather_objects(item: T) -> list[T] | None:
    """Return the items of all ranks, in order of rank, on rank 0, and None on the others."""
    world_size = get_world_size()
    if world_size == 1:
        return [item]
    items: list[T] | None = [item] * world_size if is_main_process() else None
    distributed.gather_object(item, items)
    return items


def all_reduce_mean(value: Tensor) -> Tensor:
    """Replace ``value``, of any shape, by its mean over all ranks, in place; the bits are the same on every rank."""
    world_size = get_world_size()
    if world_size > 1:
        distributed.all_reduce(value)
        value /= world_size
    return value


def any_process(value: bool) -> bool:
    """Return whether ``value`` is true on any rank; all ranks call it together and get the same answer."""
    return bool(all_reduce_mean(torch.tensor(float(value)))) if get_world_size() > 1 else value


def shard_range(count: int, rank: int, world_size: int) -> range:
    """Return the contiguous index range of ``count`` items owned by ``rank``; shard sizes differ by at most one."""
    return range(count * rank // world_size, count * (rank + 1) // world_size)
