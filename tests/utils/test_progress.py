"""Progress: plain lines where there is no terminal, a bar where there is one, with rate and time left."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from facekd.utils import progress
from facekd.utils.progress import progress_bar


class Clock:
    """Time that moves when the test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


def use_console(monkeypatch: pytest.MonkeyPatch, console: Console) -> None:
    monkeypatch.setattr(progress, "console", lambda stderr: console)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("facekd.utils.progress.time.monotonic", clock.monotonic)
    use_console(monkeypatch, Console(file=io.StringIO(), force_terminal=False))
    return clock


def test_lines_come_at_intervals_and_at_the_end(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar("train", 1000) as advance:
        for _ in range(10):
            clock.now += 8
            advance(100, "loss 2.5")
    assert capsys.readouterr().err.splitlines() == [
        "train: 200/1000 img, 12 img/s, 1:04 left  loss 2.5",
        "train: 400/1000 img, 12 img/s, 0:48 left  loss 2.5",
        "train: 600/1000 img, 12 img/s, 0:32 left  loss 2.5",
        "train: 800/1000 img, 12 img/s, 0:16 left  loss 2.5",
        "train: 1000/1000 img, 12 img/s, 0:00 left  loss 2.5",
    ]


def test_what_was_done_before_does_not_count_as_speed(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar("train", 20_000, "step", start=10_000) as advance:
        clock.now += 20
        advance(20, "")
    assert capsys.readouterr().err == "train: 10020/20000 step, 1 step/s, 2:46:20 left\n"


def test_nothing_is_printed_in_between(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar("train", 1000) as advance:
        clock.now += 1
        advance(999, "")
    assert capsys.readouterr().err == ""


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    screen = io.StringIO()
    use_console(monkeypatch, Console(file=screen, force_terminal=True, width=120))
    with progress_bar("train", 4) as advance:
        advance(4, "loss 2.5")
    shown = screen.getvalue()
    assert all(text in shown for text in ("train", "100%", "img/s", "loss 2.5"))
    assert capsys.readouterr().err == ""


def test_progress_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar("train", 4) as advance:
        advance(4, "")
    output = capsys.readouterr()
    assert output.out == "" and output.err.startswith("train: 4/4 img")


def test_other_ranks_are_silent(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("RANK", "1")
    with progress_bar("train", 4) as advance:
        advance(4, "")
    assert capsys.readouterr() == ("", "")
