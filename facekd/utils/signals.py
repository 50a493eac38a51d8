"""SIGTERM and SIGINT: an exception that ends the work in order, or a request to stop after the current step."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, NoReturn

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
GRACE_SECONDS = 15.0
"""Seconds that a step may take to end after a signal; Slurm and Kubernetes kill a process after about 30."""
REPEAT_SECONDS = 2.0
"""Seconds in which further signals belong to the first: Ctrl-C reaches a worker from the terminal and from torchrun."""


class Terminated(KeyboardInterrupt):
    """SIGTERM ended the work; whatever cleans up after Ctrl-C cleans up after it, too."""


@contextmanager
def raise_terminated() -> Iterator[None]:
    """Let SIGTERM raise `Terminated` in the block; without effect outside of the main thread.

    Raises:
        Terminated: SIGTERM arrived.
    """
    with _handler((signal.SIGTERM,), lambda number, frame: raise_signal(number)):
        yield


def raise_signal(number: int) -> NoReturn:
    """Raise the exception of a signal.

    Raises:
        Terminated: the signal is SIGTERM.
        KeyboardInterrupt: it is another one.
    """
    raise Terminated if number == signal.SIGTERM else KeyboardInterrupt


class StopRequest:
    """A context in which SIGINT and SIGTERM are noted, so that the current step can end and its result be saved.

    A second signal raises at once, and so does the first one if the context has not ended `GRACE_SECONDS` after it.
    Outside of the main thread nothing is noted.

    Attributes:
        received: the number of the signal that arrived, 0 without one.
    """

    def __init__(self) -> None:
        self.received = 0
        self._since = 0.0
        self._noted = threading.Event()
        self._ended = threading.Event()
        self._handler = _handler(STOP_SIGNALS, self._note)

    def __enter__(self) -> StopRequest:
        self._handler.__enter__()
        # The thread exists before any signal: a handler must not start one.
        threading.Thread(target=self._watch, daemon=True, name="facekd stop").start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._ended.set()
        self._noted.set()
        self._handler.__exit__(None, None, None)

    def _note(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self.received and now - self._since > REPEAT_SECONDS:
            raise_signal(number)
        if not self.received:
            self.received, self._since = number, now
            self._noted.set()

    def _watch(self) -> None:
        self._noted.wait()
        if not self._ended.wait(GRACE_SECONDS):
            os.kill(os.getpid(), self.received)


@contextmanager
def _handler(numbers: tuple[signal.Signals, ...], handle: Any) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
