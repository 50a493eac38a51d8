from __future__ import annotations

from pathlib import Path

import pytest

from facekd.data.folder_contents import list_contents
from facekd.errors import DataError


def test_files_are_sorted_by_extension_and_name(tmp_path: Path) -> None:
    for name in ("b.txt", "a.TXT", "c.bin", "d.jpg", "bin"):
        (tmp_path / name).touch()
    (tmp_path / "folder.bin").mkdir()
    contents = list_contents(tmp_path, (".bin", ".txt"), ())
    assert [file.name for file in contents.files] == ["c.bin", "a.TXT", "b.txt"]


def test_names_are_files_or_folders(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "other").touch()
    contents = list_contents(tmp_path, (), ("file", "folder", "missing"))
    assert contents.names == {"file", "folder"}
    assert contents.has_file("file") and not contents.has_file("folder") and not contents.has_file("other")
    assert contents.subfolder("folder") == tmp_path / "folder"
    assert contents.subfolder("file") is None and contents.subfolder("missing") is None


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none cannot be listed"):
        list_contents(tmp_path / "none", (), ())
