"""Progress on long work: a live bar on a terminal, plain lines elsewhere, always with a rate and the time left."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

PLAIN_INTERVAL = 15.0
"""Seconds between two plain lines, so that a log of an hour stays readable."""

SPEAKS = os.environ.get("RANK", "0") == "0"
"""Of several processes that torchrun started only the first tells how far all of them are."""

console = Console(stderr=True, highlight=False, quiet=not SPEAKS)
Advance = Callable[[int, str], None]


def tell(text: str) -> None:
    """Say something that a person should know, on the standard error."""
    if SPEAKS:
        sys.stderr.write(f"facekd: {text}\n")
        sys.stderr.flush()


@contextmanager
def progress(what: str, total: int, unit: str = "img", start: int = 0) -> Iterator[Advance]:
    """Show how far a piece of work is.

    Args:
        what: a few words in front, e.g. ``"teach"``.
        total: units of work in all.
        unit: what is counted, shown as ``unit/s``.
        start: units that were done before (a resumed run).

    Yields:
        ``advance(count, note)``: call it after each step; ``note`` is free text such as the present loss.
    """
    if console.is_terminal:
        with _bar(what, total, unit, start) as advance:
            yield advance
    else:
        yield _plain(what, total, unit, start)


@contextmanager
def _bar(what: str, total: int, unit: str, start: int) -> Iterator[Advance]:
    columns = [
        TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(),
        TextColumn("{task.fields[rate]}", markup=False), TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    ]
    with Progress(*columns, console=console, transient=False) as bar:
        task = bar.add_task(what, total=total, completed=start, rate="", note="")
        begun, done = time.monotonic(), 0

        def advance(count: int, note: str = "") -> None:
            nonlocal done
            done += count
            rate = done / max(time.monotonic() - begun, 1e-9)
            bar.update(task, advance=count, rate=f"{rate:.0f} {unit}/s", note=note)

        yield advance


def _plain(what: str, total: int, unit: str, start: int) -> Advance:
    begun, done, spoken = time.monotonic(), 0, time.monotonic()

    def advance(count: int, note: str = "") -> None:
        nonlocal done, spoken
        done += count
        now = time.monotonic()
        if (now - spoken < PLAIN_INTERVAL and start + done < total) or not SPEAKS:
            return
        spoken = now
        rate = done / max(now - begun, 1e-9)
        left = max(total - start - done, 0) / max(rate, 1e-9)
        line = f"{what}: {start + done}/{total} {unit}, {rate:.0f} {unit}/s, {_clock(left)} left  {note}"
        sys.stderr.write(line.rstrip() + "\n")
        sys.stderr.flush()

    return advance


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
