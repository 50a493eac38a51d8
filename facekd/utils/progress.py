"""Progress of long work: a live bar on a terminal, plain lines elsewhere, always with a rate and the time left."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from facekd.utils.console import console, is_first_process

PLAIN_INTERVAL = 15.0
"""Seconds between two plain lines, so that the log of an hour stays readable."""

Advance = Callable[[int, str], None]


@contextmanager
def progress_bar(label: str, total: int, unit: str = "img", start: int = 0) -> Iterator[Advance]:
    """Show the progress of a piece of work on the standard error; all ranks but 0 are silent.

    Args:
        label: a few words in front, e.g. ``"train"``.
        total: number of units of work.
        unit: what is counted, shown as ``unit/s``.
        start: units that were done by an earlier process (a resumed run).

    Yields:
        ``advance(count, note)``, to be called after each step; ``note`` is free text such as the current loss.
    """
    if console(stderr=True).is_terminal:
        with _bar(label, total, unit, start) as advance:
            yield advance
    else:
        yield _plain_lines(label, total, unit, start)


@contextmanager
def _bar(label: str, total: int, unit: str, start: int) -> Iterator[Advance]:
    columns = [
        TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(),
        TextColumn("{task.fields[rate]}", markup=False), TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    ]
    with Progress(*columns, console=console(stderr=True), transient=False) as bar:
        task = bar.add_task(label, total=total, completed=start, rate="", note="")
        begin = time.monotonic()
        count_done = 0

        def advance(count: int, note: str = "") -> None:
            """Move the bar."""
            nonlocal count_done
            count_done += count
            rate = count_done / max(time.monotonic() - begin, 1e-9)
            bar.update(task, advance=count, rate=f"{rate:.0f} {unit}/s", note=note)

        yield advance


def _plain_lines(label: str, total: int, unit: str, start: int) -> Advance:
    begin = last_line = time.monotonic()
    count_done = 0

    def advance(count: int, note: str = "") -> None:
        """Print a line, if the last one is old enough."""
        nonlocal count_done, last_line
        count_done += count
        now = time.monotonic()
        if (now - last_line < PLAIN_INTERVAL and start + count_done < total) or not is_first_process():
            return
        last_line = now
        rate = count_done / max(now - begin, 1e-9)
        left = max(total - start - count_done, 0) / max(rate, 1e-9)
        line = f"{label}: {start + count_done}/{total} {unit}, {rate:.0f} {unit}/s, {_clock(left)} left  {note}"
        sys.stderr.write(line.rstrip() + "\n")
        sys.stderr.flush()

    return advance


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
