"""Judging one call of a reader: accepted, refused in the way facekd promises, or a violation of the contract."""

from __future__ import annotations

import re
import resource
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import facekd
from facekd.errors import FacekdError

SECONDS = 5.0
"""Longest time of one input, in seconds of the processor: other programs on the machine do not count."""
WAITING = 30.0
"""Longest time of one input on the clock."""
BYTES = 2 << 30
"""Most memory that one input may take above that of the process."""
LINE = 620
"""Longest line of a message in characters: 600, and the frame around it."""
PACKAGE = Path(facekd.__file__).resolve().parent
_CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_NO_MEMORY = re.compile(
    "bad_alloc|out of memory|can't allocate|insufficient memory|failed to alloc|unable to alloc", re.IGNORECASE)


class TooSlow(BaseException):
    """Raised by the alarm within an input; no ``except Exception`` of a reader swallows it."""


@dataclass(frozen=True)
class Outcome:
    """The result of one input.

    Attributes:
        accepted: whether the reader took it.
        violation: what broke the contract, e.g. ``KeyError at facekd/route/plan.py:96``; empty if nothing did.
        message: the message of the error, shortened.
        seconds: processor time of the call, of all threads together.
        peak_bytes: most memory of the process so far.
    """

    accepted: bool
    violation: str
    message: str
    seconds: float
    peak_bytes: int


def peak_bytes() -> int:
    """Return the most memory that this process has had in RAM."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def judge(read: Callable[[Path], object], folder: Path, *, lines: int = 1, base: int | None = None) -> Outcome:
    """Call a reader and judge how it ends.

    Args:
        read: the reader.
        folder: its argument.
        lines: lines that a message may have.
        base: memory of the process without an input; by default the most it has had so far.
    """
    before = peak_bytes()
    base = before if base is None else base
    start = time.process_time()
    accepted, violation, message = False, "", ""
    try:
        with _alarm():
            read(folder)
        accepted = True
    except FacekdError as error:
        message = str(error)
        violation = _judge_message(message, lines) or _find_hidden_cause(error)
        violation = violation and f"{violation} at {_place(error)}"
    except TooSlow as error:
        violation, message = f"more than {SECONDS:g} s at {_place(error)}", ""
    except Exception as error:
        violation, message = f"{type(error).__name__} at {_place(error)}", str(error)
    except BaseException as error:
        violation, message = f"{type(error).__name__} at {_place(error)}", str(error)
    seconds = time.process_time() - start
    peak = peak_bytes()
    if not violation and seconds > SECONDS:
        violation = f"more than {SECONDS:g} s"
    if not violation and peak > before and peak - base > BYTES:
        violation = f"{(peak - base) >> 20:,} MiB of memory"
    return Outcome(accepted and not violation, violation, message[:700], seconds, peak)


@contextmanager
def _alarm() -> Iterator[None]:
    def stop(number: int, frame: FrameType | None) -> None:
        raise TooSlow

    clocks = ((signal.SIGPROF, signal.ITIMER_PROF, SECONDS), (signal.SIGALRM, signal.ITIMER_REAL, WAITING))
    previous = {number: signal.signal(number, stop) for number, _, _ in clocks}
    for _, clock, seconds in clocks:
        signal.setitimer(clock, seconds)
    try:
        yield
    finally:
        for number, clock, _ in clocks:
            signal.setitimer(clock, 0)
            signal.signal(number, previous[number])


def _judge_message(message: str, lines: int) -> str:
    parts = message.split("\n")
    if len(parts) > lines:
        return f"a message of {len(parts)} lines"
    if max(map(len, parts)) > LINE:
        return f"a message of {max(map(len, parts))} characters"
    if _CONTROL.search(message):
        return "a message with raw control characters"
    return "" if message.strip() else "an empty message"


def _find_hidden_cause(error: BaseException) -> str:
    """Return what the contract forbids among the causes of an error: memory that there was not.

    Under the limit of this process an allocation fails that another machine would grant.
    """
    cause: BaseException | None = error
    while cause is not None:
        cause = cause.__cause__ or cause.__context__
        if isinstance(cause, MemoryError) or _NO_MEMORY.search(str(cause)[:2000]):
            return "an allocation that failed"
    return ""


def _place(error: BaseException) -> str:
    """Return the deepest line of facekd in the traceback of an error, or the deepest line of all."""
    frames: list[Any] = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).resolve().is_relative_to(PACKAGE)]
    frame = (own or frames)[-1]
    file = Path(frame.filename).resolve()
    name = file.relative_to(PACKAGE.parent) if file.is_relative_to(PACKAGE) else file.name
    return f"{name}:{frame.lineno}"
