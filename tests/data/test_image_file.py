from __future__ import annotations

import os
from pathlib import Path

import pytest

from facekd.data import image_file
from facekd.data.image_file import read_image_file
from facekd.errors import DataError


def test_the_bytes_of_a_file(tmp_path: Path) -> None:
    content = bytes(range(256)) * 5000
    (tmp_path / "a.jpg").write_bytes(content)
    assert read_image_file(tmp_path / "a.jpg") == content
    assert read_image_file(str(tmp_path / "a.jpg")) == content


@pytest.mark.parametrize("name", ["none.jpg", "n" * 300 + ".jpg", "a\0b.jpg"])
def test_what_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=r"\.jpg cannot be read \(.*\); put it back$"):
        read_image_file(tmp_path / name, "put it back")


def test_a_folder_is_no_image(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_image_file(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_a_pipe_and_a_device_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.jpg")
    (tmp_path / "b.jpg").symlink_to("/dev/zero")
    for name in ("a.jpg", "b.jpg"):
        with pytest.raises(DataError, match=f"{name} cannot be read .it is no regular file"):
            read_image_file(tmp_path / name)


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_file, "MAX_FILE_BYTES", 10)
    (tmp_path / "a.jpg").write_bytes(bytes(11))
    with pytest.raises(DataError, match="has 11 bytes, an image has at most 10; remove it"):
        read_image_file(tmp_path / "a.jpg")
