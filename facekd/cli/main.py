"""The entry point of the command line."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence

from facekd.cli.data import add_data_commands
from facekd.cli.deploy import add_deploy_commands
from facekd.cli.evaluate import add_evaluation_commands
from facekd.cli.train import add_training_commands
from facekd.errors import FacekdError, SetupError
from facekd.utils.console import console

INTRODUCTION = """Train a face recognition model, distill it into a student for the phone, and export the student.

  photos --align--> crops --pack--> face set --train--> route --plan--> plan --distill--> student --eval--> report
                                                                                       --export--> package

New here? 'facekd demo' runs all of it on synthetic faces in a few minutes."""
DISTRIBUTED_COMMANDS = frozenset({"train", "distill", "eval megaface"})
"""The commands that the processes of torchrun run together; all others are refused under torchrun."""
LOST_PEER_DELAY = 5.0
"""Seconds that a process waits after it lost the others: torchrun reports the process that ends first as the cause."""


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line.

    What it parses has the attributes ``command``, the full name of the command (``align``, ``eval verify``), and
    ``run``, its function.
    """
    parser = argparse.ArgumentParser("facekd", description=INTRODUCTION,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    add_data_commands(subparsers)
    add_training_commands(subparsers)
    add_evaluation_commands(subparsers)
    add_deploy_commands(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line and exit; print an error that the user can mend as one message without a traceback.

    Args:
        argv: the arguments, by default those of the process.
    """
    args = _parse(argv)
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    try:
        sys.exit(args.run(args) if world_size == 1 else _run_distributed(args))
    except FacekdError as error:
        process = f" (process {os.environ['RANK']} of {world_size})" if world_size > 1 else ""
        console(stderr=True, every_process=True).print(f"facekd{process}: {error}", style="bold")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.stderr.write("stopped; the same command continues\n")
        sys.exit(130)


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the arguments; ``key=value`` overrides may also follow options, where argparse does not expect them."""
    parser = make_parser()
    args, unknown = parser.parse_known_args(argv)
    overrides = [text for text in unknown if "=" in text and not text.startswith("-")]
    if len(overrides) < len(unknown) or (unknown and "arguments" not in args):
        others = [text for text in unknown if text not in overrides] or unknown
        parser.error(f"not understood: {' '.join(others)}")
    if overrides:
        args.arguments += overrides
    return args


def _run_distributed(args: argparse.Namespace) -> int:
    """Run a command in one of several processes; an error goes to torchrun, which prints that of the first process.

    Raises:
        SetupError: the command is not distributed, or another process ended.
    """
    if args.command not in DISTRIBUTED_COMMANDS:
        raise SetupError(f"'facekd {args.command}' runs in one process; start it without torchrun")

    from torch.distributed import DistError
    from torch.distributed.elastic.multiprocessing.errors import record

    try:
        return record(args.run)(args) or 0
    except RuntimeError as error:
        # Gloo reports a lost peer as a plain RuntimeError, NCCL as a DistError.
        if not isinstance(error, DistError) and "gloo" not in str(error):
            raise
        time.sleep(LOST_PEER_DELAY)
        raise SetupError("lost the other processes; the message of another process says why. The same command "
                         "continues from the last checkpoint") from error
