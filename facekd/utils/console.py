"""The consoles of this process, and short notes to the user."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from functools import cache
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from facekd.text import printable

FILE_WIDTH = 160
"""Columns of a table that is written to a file or a pipe."""


def console(*, stderr: bool = False, every_process: bool = False) -> Console:
    """Return the console for one of the standard streams; equal calls return the same object.

    It prints text as it is: brackets and colons, as in paths, are neither markup nor emoji. Control characters and
    bytes that are not UTF-8 are escaped, also in tables.

    Args:
        stderr: print on the standard error instead of the standard output.
        every_process: print on all ranks of a distributed run; by default all but rank 0 are silent.
    """
    stream = sys.stderr if stderr else sys.stdout
    return _build_console(stderr, None if stream.isatty() else FILE_WIDTH, not (every_process or is_first_process()))


@cache
def _build_console(stderr: bool, width: int | None, quiet: bool) -> Console:
    return _SafeConsole(stderr=stderr, width=width, quiet=quiet, highlight=False, soft_wrap=True, markup=False,
                        emoji=False)


class _SafeConsole(Console):
    """A console that escapes the control characters of all text; those of rich itself pass."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Return a text of a table or a print, which is measured with its escapes."""
        return super().render_str(printable(text, keep_newlines=True), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """Yield the segments of a renderable; what was no `str` may be cut where escapes make it longer."""
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                yield Segment(printable(segment.text, keep_newlines=True), segment.style)


def is_first_process() -> bool:
    """Return whether this is rank 0 according to torchrun's environment.

    Unlike `facekd.distributed.is_main_process` it needs neither torch nor a process group.
    """
    return os.environ.get("RANK", "0") == "0"


def notify(text: str) -> None:
    """Print a note to the user on the standard error, on rank 0, with control characters escaped.

    Args:
        text: the note, one line.
    """
    if is_first_process():
        encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
        line = printable(f"facekd: {text}").encode(encoding, "backslashreplace").decode(encoding)
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()
