"""One feature file, against the format's description: ``<4i`` = (dimension, 1, 4, 5), then little-endian float32."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from facekd.data.megaface.feature_bin import read_bin_feature, write_bin_feature
from facekd.errors import DataError, SetupError

ROW = np.random.default_rng(0).normal(size=513).astype(np.float32)


def expected_file(values: list[float], header: tuple[int, int, int, int] | None = None) -> bytes:
    """Return a file made from the format's description alone, one number at a time."""
    header = header or (len(values), 1, 4, 5)
    return b"".join(struct.pack("<i", number) for number in header) + b"".join(struct.pack("<f", v) for v in values)


def test_a_file_made_from_the_description_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(expected_file([0.5, -1.0, 3.25]))
    row = read_bin_feature(tmp_path / "a.bin")
    assert row.dtype == np.float32 and row.tolist() == [0.5, -1.0, 3.25]


def test_a_written_file_is_what_the_description_says(tmp_path: Path) -> None:
    write_bin_feature(tmp_path / "new" / "a.bin", ROW)
    data = (tmp_path / "new" / "a.bin").read_bytes()
    assert data == expected_file(ROW.tolist())
    assert np.fromfile(tmp_path / "new" / "a.bin", "<i4", 4).tolist() == [513, 1, 4, 5]
    assert np.array_equal(np.fromfile(tmp_path / "new" / "a.bin", "<f4", offset=16), ROW)


@pytest.mark.parametrize("kind", [">f4", "<f4", "f8"])
def test_any_float_is_written_as_little_endian_float32(tmp_path: Path, kind: str) -> None:
    write_bin_feature(tmp_path / "a.bin", ROW.astype(kind))
    assert (tmp_path / "a.bin").read_bytes() == expected_file(ROW.tolist())


def test_a_file_that_holds_the_same_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "a.bin"
    assert write_bin_feature(file, ROW)
    before = file.stat().st_ino
    assert not write_bin_feature(file, ROW)
    assert file.stat().st_ino == before


@pytest.mark.parametrize("old", [b"", expected_file(ROW.tolist())[:-1], expected_file((-ROW).tolist())])
def test_a_file_that_holds_something_else_is_replaced(tmp_path: Path, old: bytes) -> None:
    (tmp_path / "a.bin").write_bytes(old)
    assert write_bin_feature(tmp_path / "a.bin", ROW)
    assert (tmp_path / "a.bin").read_bytes() == expected_file(ROW.tolist())


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", r"a\.bin is cut short at 0 bytes, its header alone has 16"),
        (expected_file([1.0])[:15], "is cut short at 15 bytes"),
        (expected_file([1.0, 2.0])[:-1], "is cut short: 23 bytes, 2 numbers need 24"),
        (expected_file([1.0]) + b"\0", "is too long: 21 bytes, 1 numbers need 20"),
        (expected_file([1.0, 2.0], (1, 2, 8, 5)), r"begins with \(1, 2, 8, 5\); a feature file begins with"),
        (expected_file([1.0, 2.0], (2, 1, 8, 6)), r"begins with \(2, 1, 8, 6\)"),
        (expected_file([], (0, 1, 4, 5)), r"begins with \(0, 1, 4, 5\)"),
        (expected_file([], (-1, 1, 4, 5)), r"begins with \(-1, 1, 4, 5\)"),
        (struct.pack(">4i", 1, 1, 4, 5) + b"\0" * 4, "begins with"),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "a.bin").write_bytes(data)
    with pytest.raises(DataError, match=message):
        read_bin_feature(tmp_path / "a.bin")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.bin does not exist"):
        read_bin_feature(tmp_path / "a.bin")


def test_a_write_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail_on_full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("facekd.data.megaface.feature_bin.os.replace", fail_on_full_disk)
    with pytest.raises(SetupError, match=r"the disk is full: .*a\.bin could not be written"):
        write_bin_feature(tmp_path / "a.bin", ROW)
    assert list(tmp_path.iterdir()) == []
