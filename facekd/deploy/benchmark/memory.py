"""Peak memory of a model, measured in a new process."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from facekd.deploy.suppress_output import suppress_output
from facekd.errors import ExportError
from facekd.models.embedder import Embedder

PROCESS = Path("/proc/self")


def peak_memory(opener: Callable[[int], Embedder], runtime: str) -> int | None:
    """Measure by how many bytes the resident memory of a process grows while it opens a model and runs one image.

    The process is new and imports the runtime first, so that the size of the runtime itself is not counted. The figure
    contains the file as it is read, the prepared weights, the activations, and the parts of the runtime that are
    loaded on first use.

    Args:
        opener: opens the model with a number of threads, here 1; it must be picklable to reach the process.
        runtime: the module to import first.

    Returns:
        Bytes; None on operating systems other than Linux, which do not report the figure.

    Raises:
        ExportError: the process was killed, or the runtime crashed it.
    """
    if not (PROCESS / "status").is_file():
        return None
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        try:
            return pool.submit(_memory_growth, opener, runtime).result()
        except BrokenProcessPool as error:
            raise ExportError(
                "the process that measures memory died; free some memory and run again. A script that calls facekd "
                "needs 'if __name__ == \"__main__\":' around its code"
            ) from error


def _memory_growth(opener: Callable[[int], Embedder], runtime: str) -> int:
    """Return the growth in bytes; runs in the new process."""
    with suppress_output():
        importlib.import_module(runtime)
    with suppress(OSError):  # if the peak cannot be reset, that of importing the runtime is the starting point
        (PROCESS / "clear_refs").write_text("5")
    before = _peak_resident_bytes()
    model = opener(1)
    model.forward(np.zeros((1, model.size, model.size, 3), np.uint8))
    return _peak_resident_bytes() - before


def _peak_resident_bytes() -> int:
    """Return the peak resident memory since the last reset, in bytes."""
    line = next(line for line in (PROCESS / "status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024
