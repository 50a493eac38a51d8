"""``facekd`` with a fault: ``python -m tests.faults.command FAULT VALUE ARGUMENTS``.

Faults: ``hold S`` keeps every first lock for S seconds; ``die N`` kills the process in place of its N-th rename of a
finished file; ``full N`` reports a full disk there; ``die-after S`` kills it S seconds after its imports.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from facekd.io import locks


def hold(seconds: float) -> None:
    """Let the first lock of the process be held for a while before the work begins."""
    real = locks.lock_output
    held: list[Path | str] = []

    @contextmanager
    def lock_output(path: Path | str | None, **options: Any) -> Iterator[None]:
        with real(path, **options):
            if path is not None and not held:
                held.append(path)
                time.sleep(seconds)
            yield

    locks.lock_output = lock_output


def fail_at_rename(number: int, *, full: bool) -> None:
    """Kill the process, or report a full disk, in place of a rename."""
    real, count = os.replace, 0

    def replace(source: Any, target: Any, **options: Any) -> None:
        nonlocal count
        count += 1
        if count == number:
            if full:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), os.fspath(target))
            os.kill(os.getpid(), signal.SIGKILL)
        real(source, target, **options)

    os.replace = replace  # type: ignore[assignment]


def install(fault: str, value: float) -> None:
    """Install a fault before the modules of facekd that it concerns are imported."""
    if fault == "hold":
        hold(value)
    elif fault == "die-after":
        import facekd.api  # noqa: F401 (the time counts from here)

        threading.Timer(value, os.kill, (os.getpid(), signal.SIGKILL)).start()
    else:
        fail_at_rename(int(value), full=fault == "full")


if __name__ == "__main__":
    install(sys.argv[1], float(sys.argv[2]))
    from facekd.cli.main import main

    sys.argv = ["facekd", *sys.argv[3:]]
    main()
