"""Files are written completely or not at all, and read with their format checked."""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from facekd.errors import DataError, RouteError, SetupError
from facekd.io import files
from facekd.io.documents import read_json


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_written_and_its_folder_made(tmp_path: Path) -> None:
    files.write_text(tmp_path / "a" / "b" / "c.txt", "Zoë\n")
    assert (tmp_path / "a" / "b" / "c.txt").read_bytes() == "Zoë\n".encode()
    assert names(tmp_path / "a" / "b") == ["c.txt"]


@pytest.mark.parametrize("problem", [RuntimeError("stop"), KeyboardInterrupt()])
def test_an_exception_leaves_the_old_file(tmp_path: Path, problem: BaseException) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(type(problem)), files.atomic_write(path) as temporary:
        temporary.write_text("half of the n")
        raise problem
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file"]


def test_a_killed_process_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    code = (
        "import os, pathlib, signal, sys; from facekd.io.files import atomic_write\n"
        "with atomic_write(pathlib.Path(sys.argv[1])) as temporary:\n"
        "    temporary.write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert path.read_text() == "old"


def test_readers_never_see_a_part(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with files.atomic_write(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"


def test_a_disk_that_fills_at_the_last_flush_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SetupError, match="the disk is full"):
        files.write_text(tmp_path / "file", "new")
    assert names(tmp_path) == []


def test_what_dead_processes_left_is_removed(tmp_path: Path) -> None:
    code = (
        "import os, pathlib, signal, sys; from facekd.io.files import atomic_folder, atomic_write\n"
        "from facekd.errors import DataError\n"
        "with atomic_write(pathlib.Path(sys.argv[1])) as a, atomic_folder(pathlib.Path(sys.argv[2]), DataError) as b:\n"
        "    a.touch(); (b / 'half').touch()\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "file"), str(tmp_path / "folder")], check=False)
    assert len(names(tmp_path)) == 2
    files.write_text(tmp_path / "other", "")
    assert names(tmp_path) == ["other"]


@pytest.mark.parametrize("action", ["write", "folder"])
def test_a_file_in_the_way_is_named(tmp_path: Path, action: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SetupError, match=r"cannot be written: \S*/file is in the way; choose another output"):
        if action == "write":
            files.write_text(tmp_path / "file" / "a" / "b", "")
        else:
            with files.atomic_folder(tmp_path / "file" / "a", DataError):
                pytest.fail("no folder can be there")


def test_a_folder_is_not_replaced_by_a_file(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(SetupError, match="a is a folder, the output is a file"):
        files.write_text(tmp_path / "a", "")
    with pytest.raises(SetupError, match="/dev/null is no regular file"):
        files.write_text(Path("/dev/null"), "")


@pytest.mark.parametrize("length", [200, 255])
def test_a_long_name_is_written(tmp_path: Path, length: int) -> None:
    files.write_text(tmp_path / ("a" * length), "text")
    assert (tmp_path / ("a" * length)).read_text() == "text"


def test_sha256_equals_hashlib(tmp_path: Path) -> None:
    data = bytes(range(256)) * 5000  # more than one block
    (tmp_path / "file").write_bytes(data)
    assert files.sha256(tmp_path / "file") == hashlib.sha256(data).hexdigest()


def test_json_keeps_order_and_letters(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    files.write_json(path, {"b": 1, "a": "Zoë"})
    assert path.read_text(encoding="utf-8") == '{\n  "b": 1,\n  "a": "Zoë"\n}\n'
    assert read_json(path) == {"b": 1, "a": "Zoë"}


@pytest.mark.parametrize("name", ["\udcff", "\ud800", "a\udcffb"])
def test_a_name_that_is_not_utf8_goes_through_json(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.json"
    files.write_json(path, {name: name})
    assert read_json(path) == {name: name}


def test_json_holds_no_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        files.write_json(tmp_path / "a.json", {"a": float("nan")})
    assert names(tmp_path) == []


def test_this_version_is_read(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    files.write_versioned(path, "plan", 2, {"stages": []})
    assert files.read_versioned(path, "plan", 2, DataError) == {"format": "facekd.plan", "version": 2, "stages": []}


def test_an_older_version_is_refused_with_a_remedy(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    files.write_versioned(path, "plan", 1, {})
    message = r"version 1 was written by an older facekd \(this one reads version 2\); "
    with pytest.raises(RouteError, match=message + "run the command that made it again"):
        files.read_versioned(path, "plan", 2, RouteError)
    with pytest.raises(RouteError, match=message + "plan again"):
        files.read_versioned(path, "plan", 2, RouteError, remedy="plan again")


def test_a_newer_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    files.write_versioned(path, "plan", 3, {})
    with pytest.raises(RouteError, match=r"version 3 was written by a newer facekd \(this one reads version 2\)"):
        files.read_versioned(path, "plan", 2, RouteError)


@pytest.mark.parametrize("version", [None, 0, "1", 1.5])
def test_a_version_that_is_none_is_refused(tmp_path: Path, version: object) -> None:
    path = tmp_path / "plan.json"
    files.write_json(path, {"format": "facekd.plan", "version": version})
    with pytest.raises(DataError, match="is not a positive whole number"):
        files.read_versioned(path, "plan", 2, DataError)


def test_another_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "route.json"
    files.write_versioned(path, "route", 1, {})
    with pytest.raises(DataError, match=r"is not a plan file \(its format says 'facekd\.route'\)"):
        files.read_versioned(path, "plan", 1, DataError)


def test_a_folder_appears_when_it_is_complete(tmp_path: Path) -> None:
    with files.atomic_folder(tmp_path / "package", DataError) as temporary:
        (temporary / "file").write_text("new")
        assert not (tmp_path / "package").exists()
    assert (tmp_path / "package" / "file").read_text() == "new"
    assert names(tmp_path) == ["package"]


def test_a_folder_that_was_not_completed_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), files.atomic_folder(tmp_path / "package", DataError) as temporary:
        (temporary / "file").write_text("half")
        raise KeyboardInterrupt
    assert names(tmp_path) == []


def test_a_folder_with_files_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "mine").touch()
    with pytest.raises(DataError, match="exists and is not an empty folder"), \
            files.atomic_folder(tmp_path / "package", DataError):
        pytest.fail("the folder must not be built")
    assert names(tmp_path / "package") == ["mine"]
