"""The entry point of the command line."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence

from facekd.cli.console import console
from facekd.cli.parser import make_parser
from facekd.cli.train import COMMANDS
from facekd.errors import FacekdError, SetupError

TOGETHER = ("teach", "distill", "eval")
"""What the processes of torchrun do together."""
LATER = 5.0
"""Seconds a process waits that lost the others: torchrun takes the first one that ends for the cause."""


def main(words: Sequence[str] | None = None) -> None:
    """Entry point of ``facekd``; what a person can mend is printed as one message, without a traceback.

    Args:
        words: the command line, by default the process's own.
    """
    parser = make_parser()
    arguments, rest = parser.parse_known_args(words)
    overrides = [text for text in rest if "=" in text and not text.startswith("-")]  # those that stand behind an option
    if len(overrides) < len(rest) or (rest and "arguments" not in arguments):
        parser.error(f"not understood: {' '.join(text for text in rest if text not in overrides) or ' '.join(rest)}")
    if overrides:
        arguments.arguments += overrides
    world = int(os.environ.get("WORLD_SIZE", "1"))
    try:
        sys.exit(COMMANDS[arguments.verb](arguments) if world == 1 else _together(arguments, world))
    except FacekdError as error:
        who = f" (process {os.environ['RANK']} of {world})" if world > 1 else ""
        console(stderr=True).print(f"facekd{who}: {error}", style="bold")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.stderr.write("stopped; the same command continues\n")
        sys.exit(130)


def _together(arguments: argparse.Namespace, world: int) -> int:
    """One of several processes; torchrun is told what ended it, and prints that of the first."""
    from torch.distributed import DistError
    from torch.distributed.elastic.multiprocessing.errors import record

    if arguments.verb not in TOGETHER:
        raise SetupError(f"'facekd {arguments.verb}' is work for one process; start it without torchrun")
    try:
        return record(COMMANDS[arguments.verb])(arguments) or 0
    except RuntimeError as error:
        if not isinstance(error, DistError) and "gloo" not in str(error):
            raise
        time.sleep(LATER)
        raise SetupError("lost the other processes; another one's message says why. The same command goes on from the "
                         "last checkpoint") from error
