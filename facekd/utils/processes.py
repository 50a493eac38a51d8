"""The processes of torchrun as the command line sees them: one works for all, and one reports an error."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import torch.distributed
from torch.distributed.distributed_c10d import _get_default_store

from facekd import distributed
from facekd.errors import SetupError

_POLL = 0.2
"""Seconds between two looks at the store of the processes."""
_GOODBYE = 5.0
"""Seconds that rank 0 waits at the end until all ranks know the result."""


def run_alone(work: Callable[[], int]) -> int:
    """Run ``work`` on rank 0 as if this was the only process, while the others wait; return its result on all ranks.

    The processes join no process group, and the others wait however long the work takes.

    Args:
        work: returns an exit status, and raises no exception that all ranks should know of.

    Raises:
        SetupError: rank 0 ended without a result.
    """
    store, rank, world_size = distributed.open_store()
    if rank == 0:
        os.environ["WORLD_SIZE"] = "1"  # the work asks the environment for the number of processes
        status = 1
        try:
            status = work()
        finally:
            store.set("status", str(status))
            _wait_until(lambda: store.add("informed", 0) == world_size - 1, _GOODBYE)  # torchrun would end them first
        return status
    try:
        _wait_until(lambda: store.check(["status"]))
        status = int(store.get("status"))
        store.add("informed", 1)
    except RuntimeError as error:  # the store ended with rank 0
        raise SetupError("rank 0 ended without a result; its own message says why") from error
    return status


def _wait_until(condition: Callable[[], bool], seconds: float = float("inf")) -> None:
    """Wait in short steps, so that signals are handled, until a condition holds or so many seconds are over."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(_POLL)


def share_failure(code: int) -> tuple[bool, int]:
    """Tell the other processes that this one fails, so that one reports the error and all end with one exit code.

    Args:
        code: the exit code of this process.

    Returns:
        Whether this process is the first one that fails (without a process group: whether it is rank 0), and the exit
        code of the first one.
    """
    if distributed.launched_processes() == 1:
        return True, code
    if not torch.distributed.is_initialized():
        return os.environ.get("RANK", "0") == "0", code
    try:
        store = _get_default_store()
        if store.add("failures", 1) == 1:
            store.set("exit code", str(code))
            return True, code
        return False, int(store.get("exit code"))
    except RuntimeError:  # the store ended with another process
        return True, code
