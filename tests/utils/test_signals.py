"""SIGTERM raises in order, and a training may end its step first."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from facekd.utils import signals
from facekd.utils.signals import StopRequest, Terminated, raise_signal, raise_terminated


def send(number: int) -> None:
    os.kill(os.getpid(), number)
    time.sleep(0.01)


def test_sigterm_raises_in_the_block_only() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Terminated), raise_terminated():
        send(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_request_is_noted(number: int) -> None:
    before = signal.getsignal(number)
    with StopRequest() as stop:
        assert stop.received == 0
        send(number)
        assert stop.received == number
    assert signal.getsignal(number) == before


def test_the_exception_tells_the_signal() -> None:
    with pytest.raises(Terminated):
        raise_signal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt) as caught:
        raise_signal(signal.SIGINT)
    assert type(caught.value) is KeyboardInterrupt


def test_the_same_signal_twice_at_once_is_one_request() -> None:
    with StopRequest() as stop:
        send(signal.SIGINT)
        send(signal.SIGINT)
        assert stop.received == signal.SIGINT


def test_a_later_second_signal_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals, "REPEAT_SECONDS", 0)
    with pytest.raises(Terminated), StopRequest():
        send(signal.SIGINT)
        send(signal.SIGTERM)


def test_a_step_that_takes_too_long_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals, "REPEAT_SECONDS", 0)
    monkeypatch.setattr(signals, "GRACE_SECONDS", 0.05)
    with pytest.raises(Terminated), StopRequest():
        send(signal.SIGTERM)
        time.sleep(10)


def test_the_watching_thread_ends_with_the_block() -> None:
    with StopRequest():
        (watcher,) = (thread for thread in threading.enumerate() if thread.name == "facekd stop")
    watcher.join(1)
    assert not watcher.is_alive()


def test_other_threads_note_nothing() -> None:
    before = signal.getsignal(signal.SIGTERM)

    def enter() -> None:
        with StopRequest(), raise_terminated():
            handlers.append(signal.getsignal(signal.SIGTERM))

    handlers: list[object] = []
    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert handlers == [before]
