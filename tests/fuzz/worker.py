"""A worker process: reads inputs of one parser one after the other, and counts how they end in shared memory."""

from __future__ import annotations

import gc
import mmap
import os
import resource
import shutil
import struct
import tempfile
import time
import traceback
import warnings
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path

from tests.fuzz.inputs import Input, InputFolder, make_input, read_cases
from tests.fuzz.outcome import BYTES, SECONDS, Outcome, judge, peak_bytes
from tests.fuzz.parser import Files, Parser

MEMORY = Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 (where inputs cost no disk)
_LAYOUT = struct.Struct("=qqqqddq")


class Board:
    """What a worker did so far, in memory shared with the runner: it survives the worker.

    Attributes:
        number: the number of the input that is read now; negative for regression cases and before the first.
        inputs: inputs that were read, without regression cases.
        accepted: inputs that the reader took.
        refused: inputs that it refused.
        slowest: seconds of the slowest input.
        since: when the reading of the current input began, as `time.monotonic` counts.
        peak_bytes: most memory above that of the empty process.
    """

    def __init__(self) -> None:
        self._map = mmap.mmap(-1, _LAYOUT.size)
        self.number, self.inputs, self.accepted, self.refused = -1, 0, 0, 0
        self.slowest, self.since, self.peak_bytes = 0.0, time.monotonic(), 0
        self.write()

    def write(self) -> None:
        """Publish the attributes."""
        self._map[:] = _LAYOUT.pack(self.number, self.inputs, self.accepted, self.refused, self.slowest, self.since,
                                    self.peak_bytes)

    def read(self) -> Board:
        """Take over what the other process published."""
        (self.number, self.inputs, self.accepted, self.refused, self.slowest, self.since,
         self.peak_bytes) = _LAYOUT.unpack(self._map[:])
        return self


def make_seeds(parser: Parser) -> Sequence[Files]:
    """Make the valid inputs of a parser."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        return parser.make_seeds(Path(folder))


def work(parser: Parser, seed: int, numbers: range, cases: range, board: Board, findings: Connection) -> None:
    """Read regression cases, then damaged inputs; send every violation.

    A finding is (number, violation, message, input). Regression case 0 has the number -2, case 1 has -3; number -1 says
    that the parser itself does not work.
    """
    silence()
    folder = Path(tempfile.mkdtemp(dir=MEMORY))
    try:
        seeds = make_seeds(parser)
        inputs = InputFolder(folder, parser, seeds)
        for valid in inputs.valid():
            parser.read(valid)  # also imports what the reader imports
        bound_memory()
        base = peak_bytes()
        known = read_cases(parser)
        for place in cases:
            case = known[place]
            board.number, board.since = -2 - place, time.monotonic()
            board.write()
            outcome = read_input(parser, inputs, case, base)
            if outcome.violation:
                findings.send((board.number, outcome.violation, outcome.message, case))
        for number in numbers:
            board.number, board.since = number, time.monotonic()
            board.write()
            item = make_input(parser, seeds, seed, number)
            outcome = read_input(parser, inputs, item, base)
            board.inputs += 1
            board.accepted += outcome.accepted
            board.refused += not outcome.accepted and not outcome.violation
            board.slowest = max(board.slowest, outcome.seconds)
            board.peak_bytes = max(board.peak_bytes, outcome.peak_bytes - base)
            board.write()
            if outcome.violation:
                findings.send((number, outcome.violation, outcome.message, item))
            if number % 500 == 0:
                gc.collect()
    except BaseException:
        findings.send((-1, "the parser of the room does not work", traceback.format_exc(), Input(0, {})))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        findings.close()
        os._exit(0)  # without the finalizers of libraries, which are not what is tried here


def read_input(parser: Parser, inputs: InputFolder, item: Input, base: int) -> Outcome:
    """Read one input; a slow one is read twice, because the first of its kind may have loaded something."""
    outcome = _read_once(parser, inputs, item, base)
    if outcome.seconds > SECONDS / 2:
        again = _read_once(parser, inputs, item, base)
        return again if again.seconds < outcome.seconds else outcome
    return outcome


def _read_once(parser: Parser, inputs: InputFolder, item: Input, base: int) -> Outcome:
    with inputs.damaged(item) as folder:
        return judge(parser.read, folder, lines=parser.lines, base=base)


def silence() -> None:
    """Send what readers and their libraries print to nowhere."""
    warnings.simplefilter("ignore")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)


def bound_memory() -> None:
    """Limit the address space, so that an input fails instead of filling the machine.

    The limit is above that of the contract: libraries in C hide an allocation that failed, but not one that succeeded.
    """
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    limit = pages * resource.getpagesize() + 3 * BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
