"""The entry point of the command line."""

from __future__ import annotations

import argparse
import io
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from functools import partial

from facekd.cli.check import add_check
from facekd.cli.compress import add_compress_command
from facekd.cli.convert import add_convert
from facekd.cli.data import add_data_commands
from facekd.cli.defects import describe_defect, describe_out_of_memory
from facekd.cli.deploy import add_deploy_commands
from facekd.cli.evaluate import add_evaluation_commands
from facekd.cli.students import add_students
from facekd.cli.train import add_training_commands
from facekd.errors import FacekdError, SetupError
from facekd.utils.console import console, is_first_process, notify
from facekd.utils.signals import Terminated, raise_terminated

INTRODUCTION = """Train a face recognition model, distill it into a student for the phone, and export the student.

  photos --align--> crops --pack--> face set --train--> route --plan--> plan --distill--> student --eval--> report
                                                                                       --export--> package

You have a model and photographs? 'facekd compress' does all of it in one command.
New here? 'facekd demo' runs all of it on synthetic faces in a few minutes."""
EXIT_CODES = """exit codes:
  0    done
  1    done, and the answer is no: a finding of doctor, a refused gate, a missed budget, a test set that failed in
       'eval all'
  2    a mistake in the command, the recipe or the data, or a lack of the machine; the message says what to do
  3    a defect of facekd; the message names the file with the traceback
  130  stopped by Ctrl-C; the same command continues
  143  ended by SIGTERM; the same command continues"""
MISTAKE, DEFECT, INTERRUPTED, BROKEN_PIPE, TERMINATED = 2, 3, 130, 141, 143
DISTRIBUTED_COMMANDS = frozenset({"train", "distill", "eval megaface"})
"""The commands that the processes of torchrun run together. The first one runs the other evaluations while the others
wait, and all other commands are refused."""
LOST_PEER_DELAY = 5.0
"""Seconds that a process waits after it lost the others: torchrun reports the process that ends first as the cause."""


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line.

    What it parses has the attributes ``command``, the full name of the command (``align``, ``eval verify``), and
    ``run``, its function.
    """
    parser = argparse.ArgumentParser("facekd", description=INTRODUCTION, epilog=EXIT_CODES,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    add_compress_command(subparsers)
    add_data_commands(subparsers)
    add_training_commands(subparsers)
    add_students(subparsers)
    add_evaluation_commands(subparsers)
    add_deploy_commands(subparsers)
    add_check(subparsers)
    add_convert(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line and exit with 0, or with one of `EXIT_CODES`; no error shows a traceback.

    Args:
        argv: the arguments, by default those of the process.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name of any bytes can be printed, whatever the encoding
            stream.reconfigure(errors="backslashreplace")
    with ExitStack() as silence:
        if not is_first_process():  # the help, and a mistake in the arguments, are printed once
            silence.enter_context(redirect_stdout(io.StringIO()))
            silence.enter_context(redirect_stderr(io.StringIO()))
        args = _parse(argv)
    is_alone = _count_processes() == 1
    code = _report_errors(partial(args.run if is_alone else _run_distributed, args))
    if not is_alone:  # torchrun ends the others by SIGTERM as soon as one process ends; all end with their own code
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(code)


def _count_processes() -> int:
    return int(os.environ.get("WORLD_SIZE", "1"))


def _report_errors(work: Callable[[], int]) -> int:
    """Run a command, print the error that ends it, and return the exit code."""
    world_size = _count_processes()
    process = f" (process {os.environ['RANK']} of {world_size})" if world_size > 1 else ""
    try:
        with raise_terminated():
            code = work()
            sys.stdout.flush()
    except FacekdError as error:
        code = _print_error(f"facekd{process}: {error}", MISTAKE)
    except Terminated:
        code = _print_error("ended by SIGTERM; the same command continues", TERMINATED)
    except KeyboardInterrupt:
        code = _print_error("stopped; the same command continues", INTERRUPTED)
    except BrokenPipeError:  # the reader of the output, for example 'head', ended first
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = BROKEN_PIPE
    except Exception as error:
        out_of_memory = describe_out_of_memory(error)
        code = _print_error(f"facekd{process}: {out_of_memory or describe_defect(error)}",
                            MISTAKE if out_of_memory else DEFECT)
    return code


def _print_error(text: str, code: int) -> int:
    """Print an error, and return the exit code; of several processes the first one that fails does it for all."""
    if _count_processes() > 1:
        from facekd.utils.processes import share_failure

        is_first, code = share_failure(code)
        if not is_first:
            return code
    console(stderr=True, every_process=True).print(text, style="bold")
    return code


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
    if args.command.startswith("eval ") and args.command not in DISTRIBUTED_COMMANDS:
        from facekd.utils.processes import run_alone

        notify(f"'facekd {args.command}' works in the first process; the other {_count_processes() - 1} wait for it")
        return run_alone(partial(_report_errors, partial(args.run, args)))
    if args.command not in DISTRIBUTED_COMMANDS:
        raise SetupError(f"'facekd {args.command}' runs in one process; start it without torchrun")

    from torch.distributed import DistError
    from torch.distributed.elastic.multiprocessing.errors import record

    @record
    def run() -> int | FacekdError | None:
        try:
            return int(args.run(args) or 0)
        except FacekdError as error:  # no defect: its message is printed here, without the traceback that torchrun adds
            return error

    try:
        result = run()
    except RuntimeError as error:
        # Gloo reports a lost peer as a plain RuntimeError, NCCL as a DistError.
        if not isinstance(error, DistError) and "gloo" not in str(error):
            raise
        time.sleep(LOST_PEER_DELAY)
        raise SetupError("lost the other processes; the message of another process says why. The same command "
                         "continues from the last checkpoint") from error
    if isinstance(result, FacekdError):
        raise result
    return result or 0
