"""How much memory a model takes, measured in a process of its own."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from facekd.deploy.quiet import quiet
from facekd.errors import ExportError
from facekd.models.embedder import Embedder

PROCESS = Path("/proc/self")


def peak_memory(opener: Callable[[int], Embedder], runtime: str) -> int | None:
    """Bytes by which the resident memory of a process grows at most while a model is opened and runs one image.

    The process is new and has loaded the runtime before, so that the runtime's own size is not counted. Counted are
    the file as it is read, the prepared weights, the activations, and the parts of the runtime that are first used.

    Args:
        opener: opens the model with a number of threads, here one; it is sent to the process, so it must be picklable.
        runtime: the module to load before.

    Returns:
        None where the system does not tell: it is Linux that does.

    Raises:
        ExportError: the process was killed, or died of the runtime.
    """
    if not (PROCESS / "status").is_file():
        return None
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        try:
            return pool.submit(_growth, opener, runtime).result()
        except BrokenProcessPool as error:
            raise ExportError(
                "the process that measures memory died; free some memory and run again. A script of your own needs "
                "'if __name__ == \"__main__\":' around what it does"
            ) from error


def _growth(opener: Callable[[int], Embedder], runtime: str) -> int:
    with quiet():
        importlib.import_module(runtime)
    with suppress(OSError):  # where it may not be reset, the peak of loading the runtime counts from
        (PROCESS / "clear_refs").write_text("5")
    before = _peak()
    model = opener(1)
    model.forward(np.zeros((1, model.size, model.size, 3), np.uint8))
    return _peak() - before


def _peak() -> int:
    """Most memory that was resident since the last reset, in bytes."""
    line = next(line for line in (PROCESS / "status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024
