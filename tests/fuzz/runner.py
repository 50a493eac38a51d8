"""Shares the inputs among worker processes, and restarts a worker that an input killed."""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from tests.fuzz.inputs import Input, make_input, read_cases
from tests.fuzz.parser import Parser
from tests.fuzz.worker import Board, make_seeds, silence, work

CHUNK = 5000
"""Inputs of one worker process."""
HANG = 90.0
"""Seconds after which an input that the alarm does not end is killed."""
_FORK = multiprocessing.get_context("fork")


@dataclass
class Row:
    """The counts of one parser, as they stand in the result."""

    inputs: int = 0
    accepted: int = 0
    refused: int = 0
    violations: int = 0
    slowest_seconds: float = 0.0
    peak_bytes: int = 0

    def add(self, board: Board) -> None:
        """Add the counts of a worker."""
        self.inputs += board.inputs
        self.accepted += board.accepted
        self.refused += board.refused
        self.slowest_seconds = max(self.slowest_seconds, round(board.slowest, 3))
        self.peak_bytes = max(self.peak_bytes, board.peak_bytes)


@dataclass(frozen=True)
class Finding:
    """One violation: the parser, the number of the input (negative: a regression case), what it was, and the input."""

    parser: str
    number: int
    violation: str
    message: str
    item: Input = field(repr=False)

    def to_json(self) -> dict[str, object]:
        """Return the finding for the file of violations."""
        return {"parser": self.parser, "number": self.number, "violation": self.violation, "message": self.message,
                **self.item.to_json()}


@dataclass
class _Task:
    parser: Parser
    numbers: range
    cases: range
    board: Board
    process: BaseProcess
    findings: Connection


def run(parsers: Sequence[Parser], inputs_each: int, seed: int, found: Callable[[Finding], None],
        finished: Callable[[str, range, Row], None], done: Callable[[str, range], bool] = lambda name, numbers: False,
        processes: int | None = None) -> None:
    """Read ``inputs_each`` inputs of every parser.

    Args:
        parsers: the parsers.
        inputs_each: inputs of each.
        seed: the seed of all inputs.
        found: called for every violation.
        finished: called with the counts of every finished part; together the parts make a parser's inputs.
        done: whether a part was finished in an earlier, interrupted run.
        processes: number of workers; by default one for each core.
    """
    waiting = [(parser, numbers, range(0 if numbers.start else len(read_cases(parser))))
               for numbers in chunks(inputs_each) for parser in parsers if not done(parser.name, numbers)]
    waiting.reverse()
    running: list[_Task] = []
    rows: dict[tuple[str, int], Row] = {}
    while waiting or running:
        while waiting and len(running) < (processes or os.cpu_count() or 1):
            running.append(_start(*waiting.pop(), seed))
        wait([connection for task in running for connection in (task.findings, task.process.sentinel)], timeout=1.0)
        for task in list(running):
            row = rows.setdefault((task.parser.name, task.numbers.stop), Row())
            for finding in _receive(task):
                row.violations += finding.number >= 0
                found(finding)
            rest = _watch(task, seed, found, row)
            if rest is not None:
                running.remove(task)
                if any(rest):
                    waiting.append((task.parser, *rest))
                else:
                    finished(task.parser.name, chunk_of(task.numbers, inputs_each), row)


def chunks(inputs: int) -> list[range]:
    """Return the parts of the inputs of a parser."""
    return [range(start, min(start + CHUNK, inputs)) for start in range(0, inputs, CHUNK)]


def chunk_of(numbers: range, inputs: int) -> range:
    """Return the part to which the rest of a part belongs."""
    return next(part for part in chunks(inputs) if part.stop == numbers.stop)


def _start(parser: Parser, numbers: range, cases: range, seed: int) -> _Task:
    receiver, sender = _FORK.Pipe(duplex=False)
    board = Board()
    sys.stdout.flush()
    sys.stderr.flush()
    process = _FORK.Process(target=work, args=(parser, seed, numbers, cases, board, sender), daemon=True)
    process.start()
    sender.close()
    return _Task(parser, numbers, cases, board, process, receiver)


def _receive(task: _Task) -> Iterator[Finding]:
    try:
        while task.findings.poll():
            number, violation, message, item = task.findings.recv()
            yield Finding(task.parser.name, number, violation, message, item)
    except EOFError:
        return


def _watch(task: _Task, seed: int, found: Callable[[Finding], None], row: Row) -> tuple[range, range] | None:
    """Return None while a worker works, and else the inputs and regression cases that are left.

    The input that killed the worker is a violation.
    """
    board = task.board.read()
    if task.process.is_alive():
        if time.monotonic() - board.since < HANG or board.number == -1:
            return None
        task.process.kill()
    task.process.join()
    for finding in _receive(task):
        row.violations += finding.number >= 0
        found(finding)
    task.findings.close()
    row.add(board)
    if task.process.exitcode == 0:
        return range(0), range(0)
    number = board.number
    violation = "a hang" if task.process.exitcode == -9 else f"a crash by signal {-(task.process.exitcode or 0)}"
    if number == -1:
        found(Finding(task.parser.name, -1, f"{violation} before the first input", "", Input(0, {})))
        return range(0), range(0)
    if number < 0:
        found(Finding(task.parser.name, number, violation, "", read_cases(task.parser)[-2 - number]))
        return task.numbers, range(-1 - number, task.cases.stop)
    row.inputs += 1
    row.violations += 1
    found(Finding(task.parser.name, number, violation, "", _make_again(task.parser, seed, number)))
    return range(number + 1, task.numbers.stop), range(0)


def _make_again(parser: Parser, seed: int, number: int) -> Input:
    """Make an input again in a process of its own, because making seeds starts threads of libraries."""
    receiver, sender = _FORK.Pipe(duplex=False)

    def make() -> None:
        silence()
        sender.send(make_input(parser, make_seeds(parser), seed, number))
        os._exit(0)

    process = _FORK.Process(target=make, daemon=True)
    process.start()
    sender.close()
    try:
        item: Input = receiver.recv()
    except EOFError:
        item = Input(0, {})
    process.join()
    return item


def to_dict(row: Row) -> dict[str, object]:
    """Return the counts of a parser for the result file."""
    return asdict(row)
