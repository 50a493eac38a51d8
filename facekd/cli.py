"""The entry point of the command line."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from facekd.arguments import make_parser
from facekd.commands import COMMANDS
from facekd.errors import FacekdError
from facekd.terminal import console


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
    try:
        sys.exit(COMMANDS[arguments.verb](arguments))
    except FacekdError as error:
        console(stderr=True).print(f"facekd: {error}", style="bold")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.stderr.write("stopped; the same command continues\n")
        sys.exit(130)
