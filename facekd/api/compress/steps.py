"""The steps of a compression: which commands they amount to, how long they took, and which are finished."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from facekd.errors import SetupError
from facekd.io import files
from facekd.io.records import Record
from facekd.text import path_text, short_repr
from facekd.utils.console import console

VERSION = 1
FILE = "compress.json"


class Step(Record):
    """A finished step.

    Attributes:
        name: what it does.
        command: the command of facekd that does the same.
        seconds: how long it took, of a continued step the last part.
    """

    name: str
    command: str
    seconds: float


class StepRecord(Record):
    """The content of ``compress.json``.

    Attributes:
        request: the arguments of `compress` that decide the result.
        decisions: what was decided from them, e.g. the epochs, so that a continued compression decides nothing anew.
        steps: the finished steps in their order.
    """

    request: dict[str, Any]
    decisions: dict[str, Any]
    steps: list[Step]


class StepLog:
    """Runs the steps of a compression and writes ``compress.json`` after each.

    Args:
        folder: the folder of the compression.
        request: see `StepRecord`.

    Raises:
        SetupError: the folder holds a compression with another request.
    """

    def __init__(self, folder: Path, request: Mapping[str, Any]) -> None:
        self._file = folder / FILE
        self._record = StepRecord(request=dict(request), decisions={}, steps=[])
        if self._file.is_file():
            self._record = read_steps(folder)
            known = self._record.request
            changed = [key for key in request if request[key] != known.get(key)]
            if changed:
                key = changed[0]
                raise SetupError(f"{path_text(folder)} holds a compression with {key}={short_repr(known.get(key))}, "
                                 f"not {short_repr(request[key])}; choose another folder, or give the same arguments")

    @property
    def steps(self) -> Sequence[Step]:
        """The finished steps."""
        return self._record.steps

    def decide(self, key: str, value: Callable[[], Any]) -> Any:
        """Return a decision, which is made once: a continued compression returns that of the first time.

        Args:
            key: its name.
            value: makes it; a JSON-able value.
        """
        if key not in self._record.decisions:
            self._record = self._record.model_copy(update={"decisions": {**self._record.decisions, key: value()}})
            self._write()
        return self._record.decisions[key]

    def run(self, name: str, command: Sequence[str | Path], output: Path, work: Callable[[], object]) -> None:
        """Run a step unless it is finished and its output is there.

        Args:
            name: what the step does.
            command: the words of the command that does the same.
            output: a file or folder that the step makes.
            work: does it; it continues by itself if it was interrupted.
        """
        text = shlex.join(map(str, command))
        if output.exists() and any(step.name == name and step.command == text for step in self.steps):
            return
        console(stderr=True).print(f"{name}: {text}")
        start = time.monotonic()
        work()
        step = Step(name=name, command=text, seconds=round(time.monotonic() - start, 1))
        others = [other for other in self.steps if other.name != name]
        self._record = self._record.model_copy(update={"steps": [*others, step]})
        self._write()

    def _write(self) -> None:
        files.write_versioned(self._file, "compression", VERSION, self._record.model_dump())


def read_steps(folder: Path) -> StepRecord:
    """Read ``compress.json``.

    Raises:
        SetupError: the file is missing or damaged.
    """
    return files.read_versioned(folder / FILE, "compression", VERSION, SetupError, schema=StepRecord,
                                remedy="compress again into another folder")
