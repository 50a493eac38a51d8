"""An output that cannot be written is refused before the work, and nothing is left behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from facekd.errors import DataError, SetupError
from facekd.io import outputs


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_can_be_written_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    outputs.check_writable(tmp_path / "file")
    outputs.check_writable(tmp_path / "a" / "b" / "c.json")
    outputs.check_writable(tmp_path / "a" / "b", folder=True)
    outputs.check_writable(tmp_path, folder=True)
    assert names(tmp_path) == ["file"]
    assert (tmp_path / "file").read_text() == "old"


@pytest.mark.parametrize(("place", "folder", "message"), [
    ("file", True, "file is no folder, the output is a folder"),
    ("folder", False, "folder is a folder, the output is a file"),
    ("file/a/b", False, "/file is in the way"),
    ("file/a/b", True, "/file is in the way"),
    ("a/" + "n" * 256, False, "the name is too long; choose a shorter one"),
    ("zero\0byte", False, "holds a zero byte"),
])
def test_what_cannot_be_written_is_said_before(tmp_path: Path, place: str, folder: bool, message: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(SetupError, match=message):
        outputs.check_writable(tmp_path / place, folder=folder)
    assert names(tmp_path) == ["file", "folder"]


@pytest.mark.parametrize("folder", [True, False])
def test_a_special_file_system_cannot_be_written(folder: bool) -> None:
    with pytest.raises(SetupError, match="/proc/facekd cannot be written: "):
        outputs.check_writable(Path("/proc/facekd"), folder=folder)


@pytest.mark.parametrize("name", ["lfw", "Zoë 2", "a.b-c_d", "x" * 150, "\udcff"])
def test_a_plain_name_is_returned(name: str) -> None:
    assert outputs.plain_name(name) == name


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "/a", "a\\b", ".hidden", "-dash", "a\nb", "a\0b",
                                  "\x1b"])
def test_a_name_that_leads_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(DataError, match=r"--name '.*' is no plain name; use one without slashes"):
        outputs.plain_name(name, error=DataError)


def test_a_name_that_is_too_long_is_refused() -> None:
    with pytest.raises(SetupError, match=r"--ending .* is too long; use at most 150 bytes"):
        outputs.plain_name("ü" * 76, "--ending")


def test_the_lock_does_not_fill_a_folder(tmp_path: Path) -> None:
    assert outputs.is_empty_folder(tmp_path)
    (tmp_path / ".name.lock").touch()
    assert outputs.is_empty_folder(tmp_path)
    (tmp_path / "file").touch()
    assert not outputs.is_empty_folder(tmp_path)
    assert not outputs.is_empty_folder(tmp_path / "file")
    assert not outputs.is_empty_folder(tmp_path / "none")
