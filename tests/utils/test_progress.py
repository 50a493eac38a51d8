"""Progress: plain lines where there is no terminal, a bar where there is one, with rate and time left."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from facekd.utils import progress as module
from facekd.utils.progress import progress


class Clock:
    """Time that moves when the test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("facekd.utils.progress.time.monotonic", clock.monotonic)
    monkeypatch.setattr(module, "console", Console(file=io.StringIO(), force_terminal=False))
    return clock


def test_lines_come_at_intervals_and_at_the_end(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with progress("teach", 1000) as advance:
        for _ in range(10):
            clock.now += 8
            advance(100, "loss 2.5")
    assert capsys.readouterr().err.splitlines() == [
        "teach: 200/1000 img, 12 img/s, 1:04 left  loss 2.5",
        "teach: 400/1000 img, 12 img/s, 0:48 left  loss 2.5",
        "teach: 600/1000 img, 12 img/s, 0:32 left  loss 2.5",
        "teach: 800/1000 img, 12 img/s, 0:16 left  loss 2.5",
        "teach: 1000/1000 img, 12 img/s, 0:00 left  loss 2.5",
    ]


def test_what_was_done_before_does_not_count_as_speed(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with progress("teach", 20_000, "step", start=10_000) as advance:
        clock.now += 20
        advance(20, "")
    assert capsys.readouterr().err == "teach: 10020/20000 step, 1 step/s, 2:46:20 left\n"


def test_nothing_is_said_in_between(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with progress("teach", 1000) as advance:
        clock.now += 1
        advance(999, "")
    assert capsys.readouterr().err == ""


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(module, "console", Console(file=screen, force_terminal=True, width=120))
    with progress("teach", 4) as advance:
        advance(4, "loss 2.5")
    shown = screen.getvalue()
    assert all(text in shown for text in ("teach", "100%", "img/s", "loss 2.5"))
    assert capsys.readouterr().err == ""


def test_progress_goes_to_stderr() -> None:
    assert module.console.stderr
    assert "print(" not in Path(module.__file__).read_text(encoding="utf-8")
