"""NumPy files of strangers take no more memory than they state, and run nothing."""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from facekd.errors import DataError
from facekd.io.arrays import open_npy, read_npz


def npy(header: bytes, data: bytes = b"") -> bytes:
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


@pytest.mark.parametrize("array", [
    np.arange(6, dtype=np.float32).reshape(2, 3), np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    np.zeros((0, 4), np.float16), np.array(["a", "bc"]), np.float64(3.0),
])
def test_what_numpy_saves_is_opened(tmp_path: Path, array: np.ndarray) -> None:
    np.save(tmp_path / "a.npy", array)
    opened = open_npy(tmp_path / "a.npy")
    np.testing.assert_array_equal(opened, array)
    assert opened.dtype == array.dtype
    assert not opened.flags.writeable or opened.size == 0


@pytest.mark.parametrize(("content", "reason"), [
    (b"", "EOF"),
    (npy(b"{'descr': ("), ""),
    (npy(b"{'descr': '<f2', 'fortran_order': False, 'shape': (4, 29233720368547758078), }\n"), "describes"),
    (npy(b"{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }\n", bytes(8)), "12 bytes of data, it has 8"),
    (npy(b"{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }\n", bytes(8)), "describes"),
    (npy(b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }\n", bytes(8)), "Python objects"),
    (npy(b"{'descr': '|V0', 'fortran_order': False, 'shape': (9,), }\n"), "no size"),
    (b"\x93NUMPY\x09\x00", "version"),
])
def test_a_damaged_npy_is_named(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(DataError, match=rf"a\.npy cannot be read \(.*{reason}"):
        open_npy(tmp_path / "a.npy")


def npz(**arrays: np.ndarray) -> bytearray:
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return bytearray(stream.getvalue())


def test_an_npz_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(npz(a=np.arange(5), b=np.ones((2, 2), order="F")))
    arrays = read_npz(tmp_path / "a.npz")
    np.testing.assert_array_equal(arrays["a"], np.arange(5))
    np.testing.assert_array_equal(arrays["b"], np.ones((2, 2)))


def test_a_decompression_bomb_is_refused_before_it_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(npz(a=np.zeros(10**6, np.uint8)))
    assert (tmp_path / "a.npz").stat().st_size < 5000
    with pytest.raises(DataError, match="take 1,000,128 bytes, the limit is 100,000"):
        read_npz(tmp_path / "a.npz", limit=100_000)


def test_a_size_that_the_directory_understates_is_refused(tmp_path: Path) -> None:
    content = npz(a=np.zeros(10**6, np.uint8))
    directory = content.rindex(b"PK\x01\x02")
    content[directory + 24 : directory + 28] = struct.pack("<I", 1000)
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(DataError, match="cannot be read"):
        read_npz(tmp_path / "a.npz", limit=100_000)


@pytest.mark.parametrize("damage", ["deflate", "version", "directory"])
def test_a_damaged_npz_is_named(tmp_path: Path, damage: str) -> None:
    content = npz(a=np.arange(1000))
    if damage == "deflate":
        content[60:70] = b"\xff" * 10
    elif damage == "version":
        content[content.rindex(b"PK\x01\x02") + 6] = 200
    else:
        del content[-30:]
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.npz cannot be read"):
        read_npz(tmp_path / "a.npz")


def test_objects_in_an_npz_are_not_unpickled(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("a.npy", npy(b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }\n", b"cos\nsystem\n"))
    with pytest.raises(DataError, match="Python objects"):
        read_npz(tmp_path / "a.npz")
