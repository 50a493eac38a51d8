"""The consoles of this process, and short notes to the user."""

from __future__ import annotations

import os
import sys
from functools import cache

from rich.console import Console

FILE_WIDTH = 160
"""Columns of a table that is written to a file or a pipe."""


def console(*, stderr: bool = False, every_process: bool = False) -> Console:
    """Return the console for one of the standard streams; equal calls return the same object.

    It prints text as it is: brackets and colons, as in paths, are neither markup nor emoji.

    Args:
        stderr: print on the standard error instead of the standard output.
        every_process: print on all ranks of a distributed run; by default all but rank 0 are silent.
    """
    stream = sys.stderr if stderr else sys.stdout
    return _build_console(stderr, None if stream.isatty() else FILE_WIDTH, not (every_process or is_first_process()))


@cache
def _build_console(stderr: bool, width: int | None, quiet: bool) -> Console:
    return Console(stderr=stderr, width=width, quiet=quiet, highlight=False, soft_wrap=True, markup=False, emoji=False)


def is_first_process() -> bool:
    """Return whether this is rank 0 according to torchrun's environment.

    Unlike `facekd.distributed.is_main_process` it needs neither torch nor a process group.
    """
    return os.environ.get("RANK", "0") == "0"


def notify(text: str) -> None:
    """Print a note to the user on the standard error, on rank 0."""
    if is_first_process():
        sys.stderr.write(f"facekd: {text}\n")
        sys.stderr.flush()
