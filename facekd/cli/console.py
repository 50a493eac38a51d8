"""Where the command line writes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from rich.console import Console

from facekd.utils.progress import SPEAKS


def console(stderr: bool = False) -> Console:
    """A console that prints text as it is (a path may hold brackets or colons), and wide tables into a file.

    Of several processes one prints results, and all print errors.
    """
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else 160
    quiet = not (stderr or SPEAKS)
    return Console(stderr=stderr, width=width, highlight=False, soft_wrap=True, markup=False, emoji=False, quiet=quiet)


out = console()
Command = Callable[[argparse.Namespace], int]
