"""Whatever happens while a file is read becomes one sentence with its name."""

from __future__ import annotations

import re
import tracemalloc
from pathlib import Path

import pytest

from facekd.errors import DataError, ModelError
from facekd.io.reading import parse_whole_number, read_bytes, read_text, reading


@pytest.mark.parametrize(("problem", "reason"), [
    (ValueError("bad\nvalue"), r"(bad\x0avalue)"),
    (KeyError("x"), "('x')"),
    (RecursionError(), "(it is nested too deeply)"),
    (MemoryError(), "(it asks for more memory than there is)"),
    (OSError(36, "File name too long"), "(File name too long)"),
    (IndexError(), "(IndexError)"),
])
def test_a_foreign_exception_is_one_sentence(problem: Exception, reason: str) -> None:
    with pytest.raises(ModelError) as raised, reading("a/b.x", ModelError, kind="X", remedy="fetch it again"):
        raise problem
    assert str(raised.value) == f"a/b.x cannot be read as X {reason}; fetch it again"


def test_the_messages_of_facekd_pass() -> None:
    with pytest.raises(DataError, match=r"^as it is$"), reading("a", ModelError):
        raise DataError("as it is")


def test_an_interrupt_passes() -> None:
    with pytest.raises(KeyboardInterrupt), reading("a"):
        raise KeyboardInterrupt


def test_a_message_is_bounded(tmp_path: Path) -> None:
    with pytest.raises(DataError) as raised, reading(tmp_path / ("a" * 4000)):
        raise ValueError("x" * 10**6)
    assert len(str(raised.value)) < 400


def test_bytes_are_read_up_to_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"12345")
    assert read_bytes(path, limit=5) == b"12345"
    with pytest.raises(DataError, match="has more than 4 bytes"):
        read_bytes(path, limit=4)


@pytest.mark.parametrize(("name", "message"), [
    ("absent", "absent does not exist; check the path"),
    ("folder", "folder cannot be read (Is a directory); restore it or make it again"),
    ("x" * 300, "cannot be read (File name too long)"),
])
def test_what_is_no_file_is_named(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match=re.escape(message)):
        read_bytes(tmp_path / name)


def test_text_of_another_encoding_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="invalid start byte"):
        read_text(tmp_path / "a.txt")
    assert read_text(tmp_path / "a.txt", errors="surrogateescape") == "\udcff\udcfe"


@pytest.mark.parametrize(("text", "value"), [
    ("0", 0), ("007", 7), ("9" * 18, 10**18 - 1), ("9" * 19, None), ("", None), ("-1", None), ("+1", None),
    (" 1", None), ("1\x1f", None), ("1_0", None), ("\u0663", None), ("²", None), ("1" * 5000, None),
])
def test_whole_numbers_are_plain_digits(text: str, value: int | None) -> None:
    assert parse_whole_number(text) == value


def test_memory_follows_the_size_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    tracemalloc.start()
    assert read_bytes(tmp_path / "file") == b"abc"
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="files without a size are Linux'")
def test_a_file_without_a_size_is_read() -> None:
    assert b"VmPeak" in read_bytes("/proc/self/status")
