"""Temporaries carry host and process, and those of dead processes of this host are removed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from facekd.io import temporaries
from facekd.io.temporaries import hidden_sibling, host_name, remove_dead_temporaries, temporary_path


@pytest.fixture
def dead() -> int:
    """The id of a process that ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_the_name_carries_host_and_process(tmp_path: Path) -> None:
    assert temporary_path(tmp_path / "a.pt").name == f".a.pt.{host_name()}.{os.getpid()}.tmp"


def test_the_host_is_part_of_a_file_name(monkeypatch: pytest.MonkeyPatch) -> None:
    host_name.cache_clear()
    monkeypatch.setattr(temporaries.socket, "gethostname", lambda: "a.b/c" + "x" * 100)
    assert host_name().startswith("a-b-cx")
    assert len(host_name()) < 90
    host_name.cache_clear()


def test_long_names_are_shortened_and_stay_apart(tmp_path: Path) -> None:
    first, second = (hidden_sibling(tmp_path / ("ü" * 120 + letter), "tmp") for letter in "ab")
    assert first != second
    assert first.parent == tmp_path
    assert len(os.fsencode(first.name)) <= 255


def test_only_what_dead_processes_of_this_host_left_is_removed(tmp_path: Path, dead: int) -> None:
    kept = {f".a.{host_name()}.{os.getpid()}.tmp", f".a.other-host.{dead}.tmp", f"a.{host_name()}.{dead}.tmp",
            f".a.{host_name()}.x.tmp", ".mine.tmp", "b"}
    for name in (*kept, f".a.{host_name()}.{dead}.tmp", f".b.c.{host_name()}.{dead}.tmp"):
        (tmp_path / name).touch()
    (tmp_path / f".folder.{host_name()}.{dead}.tmp").mkdir()
    (tmp_path / f".folder.{host_name()}.{dead}.tmp" / "file").touch()
    remove_dead_temporaries(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == kept


def test_a_link_is_removed_and_not_followed(tmp_path: Path, dead: int) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").touch()
    (tmp_path / f".a.{host_name()}.{dead}.tmp").symlink_to("folder")
    remove_dead_temporaries(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
    assert (tmp_path / "folder" / "file").exists()


def test_a_folder_that_is_not_there_is_no_error(tmp_path: Path) -> None:
    remove_dead_temporaries(tmp_path / "none")
