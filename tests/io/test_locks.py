"""One process writes an output; another one is told who does, and nothing is left behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from facekd.errors import SetupError
from facekd.io import locks
from facekd.io.locks import lock_output
from facekd.io.outputs import is_empty_folder

HOLD = """
import sys, time
from pathlib import Path
from facekd.io.locks import lock_output
with lock_output(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture(params=["file", "folder"])
def output(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    path = tmp_path / "out put"
    if request.param == "folder":
        path.mkdir()
    return path


@pytest.fixture
def holder(output: Path) -> Iterator[subprocess.Popen[str]]:
    process = start(output)
    yield process
    stop(process)


def start(output: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(output)], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def stop(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    process.stdout.close()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_another_process_is_named(output: Path, holder: subprocess.Popen[str]) -> None:
    for _ in range(2):  # the first refusal takes nothing from the second
        with pytest.raises(SetupError, match=rf"out put is being written by process {holder.pid} on host \S+ \(.*; "
                                             "wait for it or choose another output"), lock_output(output):
            pytest.fail("the lock must not be given twice")


def test_after_the_end_nothing_is_left(output: Path, holder: subprocess.Popen[str], tmp_path: Path) -> None:
    assert holder.stdin is not None
    holder.stdin.write("\n")
    holder.stdin.flush()
    assert holder.wait() == 0
    assert names(tmp_path) == (["out put"] if output.exists() else [])
    with lock_output(output):
        pass
    assert names(tmp_path) == (["out put"] if output.exists() else [])


def test_a_killed_process_blocks_nobody(output: Path, holder: subprocess.Popen[str], tmp_path: Path) -> None:
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert ".out put.lock" in names(tmp_path)
    with lock_output(output):
        pass
    assert names(tmp_path) == (["out put"] if output.exists() else [])


def test_the_lock_is_released_by_an_exception(output: Path) -> None:
    with pytest.raises(RuntimeError, match="stop"), lock_output(output):
        raise RuntimeError("stop")
    stop(start(output))


def test_one_thread_may_hold_it_twice(output: Path) -> None:
    with lock_output(output):
        with lock_output(output):
            pass
        refused = subprocess.run([sys.executable, "-c", HOLD, str(output)], capture_output=True, text=True, check=False)
    assert f"process {os.getpid()} on host" in refused.stderr


def test_a_waiting_process_says_so_and_gets_it(
    output: Path, holder: subprocess.Popen[str], capsys: pytest.CaptureFixture[str]
) -> None:
    threading.Timer(0.5, holder.kill).start()
    with lock_output(output, wait=True):
        pass
    assert re.search(rf"is being written by process {holder.pid} on .*; waiting for it\n", capsys.readouterr().err)


def test_another_thread_waits(output: Path) -> None:
    order: list[str] = []

    def second() -> None:
        with lock_output(output, wait=True):
            order.append("second")

    thread = threading.Thread(target=second)
    with lock_output(output):
        thread.start()
        time.sleep(0.3)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_folders_that_another_process_removes_are_made_again(tmp_path: Path) -> None:
    """Each of two processes makes the folders of the lock and removes them at the end."""
    code = (
        "import sys; from facekd.io.locks import lock_output\n"
        "for _ in range(30):\n"
        "    with lock_output(sys.argv[1], wait=True): pass\n"
    )
    processes = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "a" / "b" / "c")],
                                  stderr=subprocess.PIPE, text=True) for _ in range(2)]
    errors = [process.communicate()[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == []


def test_two_names_of_one_folder_are_one_output(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    process = start(tmp_path / "real")
    with pytest.raises(SetupError, match="is being written by process"), lock_output(tmp_path / "link"):
        pytest.fail("the folder is locked")
    stop(process)


def test_folders_made_for_the_lock_go_with_it(tmp_path: Path) -> None:
    with lock_output(tmp_path / "a" / "b" / "c"):
        assert (tmp_path / "a" / "b").is_dir()
    assert names(tmp_path) == []
    with lock_output(tmp_path / "a" / "b" / "c"):
        (tmp_path / "a" / "file").touch()
    assert names(tmp_path) == ["a"]


def test_a_folder_in_a_place_that_cannot_be_written_is_locked_inside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "is_mount", lambda self: True)
    with lock_output(tmp_path):
        assert names(tmp_path) == [f".{tmp_path.name}.holder", f".{tmp_path.name}.lock"]
        assert is_empty_folder(tmp_path)
    assert names(tmp_path) == []


@pytest.mark.parametrize("content", ["", "{", "[]", '{"process": []}', "[" * 100_000])
def test_a_damaged_note_is_another_process(output: Path, holder: subprocess.Popen[str], content: str) -> None:
    output.with_name(".out put.holder").write_text(content)
    with pytest.raises(SetupError, match="is being written by another process; wait"), lock_output(output):
        pytest.fail("the lock must not be given twice")


def test_other_ranks_do_not_lock(output: Path, holder: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    with lock_output(output):
        pass


def test_no_output_needs_no_lock() -> None:
    with lock_output(None):
        pass


def test_a_file_in_the_way_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SetupError, match=r"/file is in the way; choose another output or remove it"), \
            lock_output(tmp_path / "file" / "a"):
        pytest.fail("no lock can be there")


def test_a_long_name_is_locked(tmp_path: Path) -> None:
    with lock_output(tmp_path / ("ü" * 127)):
        assert len(names(tmp_path)) == 2


def test_a_file_system_without_locks_is_said(
    output: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(self: object, timeout: float) -> None:
        raise OSError(locks._NO_LOCKS[0], "No locks available")

    monkeypatch.setattr("facekd.io.locks.FileLock.acquire", refuse)
    with lock_output(output):
        pass
    assert "cannot be locked on this file system; write it with one process at a time" in capsys.readouterr().err
