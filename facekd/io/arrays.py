"""NumPy arrays from files of anybody: ``.npy`` and ``.npz``, bounded before memory is taken, nothing unpickled."""

from __future__ import annotations

import io
import math
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from facekd.errors import DataError, FacekdError
from facekd.io.reading import RESTORE, reading

NPZ_LIMIT = 1 << 31
"""Bytes of one array of a ``.npz`` file after decompression."""
NPZ_MEMBERS = 1000


def open_npy(path: Path, error: type[FacekdError] = DataError, *, remedy: str = RESTORE) -> NDArray[Any]:
    """Open a ``.npy`` file as a read-only memory map; its size must be what its header says.

    Raises:
        error: the file is absent, damaged, truncated, or holds Python objects.
    """
    with reading(path, error, remedy=remedy):
        with path.open("rb") as handle:
            shape, fortran_order, dtype = _read_header(handle)
            start = handle.tell()
            available = handle.seek(0, 2) - start
        expected = math.prod(shape) * dtype.itemsize
        if available != expected:
            raise ValueError(f"its header describes {expected:,} bytes of data, it has {available:,}")
        if expected == 0:
            return np.zeros(shape, dtype)
        return np.memmap(path, dtype, "r", start, shape, "F" if fortran_order else "C")


def read_npz(path: Path, error: type[FacekdError] = DataError, *, limit: int = NPZ_LIMIT,
             remedy: str = RESTORE) -> dict[str, NDArray[Any]]:
    """Read all arrays of a ``.npz`` file.

    Args:
        path: the file.
        error: the type of error to raise.
        limit: the largest size in bytes of all arrays together, which is asked before they are decompressed.
        remedy: what the user should do about an unreadable file.

    Returns:
        the arrays by name.

    Raises:
        error: the file is absent or damaged, an array is larger than ``limit``, or holds Python objects.
    """
    with reading(path, error, remedy=remedy), zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if len(members) > NPZ_MEMBERS:
            raise ValueError(f"it holds more than {NPZ_MEMBERS} arrays")
        size = sum(member.file_size for member in members)
        if size > limit:
            raise ValueError(f"its arrays take {size:,} bytes, the limit is {limit:,}")
        return {member.filename.removesuffix(".npy"): _read_member(archive, member) for member in members}


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> NDArray[Any]:
    with archive.open(member) as handle:
        content = handle.read(member.file_size + 1)  # the directory of a damaged archive may state a smaller size
    if len(content) != member.file_size:
        raise ValueError(f"the array {member.filename} has another size than the directory of the archive says")
    stream = io.BytesIO(content)
    shape, fortran_order, dtype = _read_header(stream)
    data = content[stream.tell() :]
    if len(data) != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"the array {member.filename} has another size than its header says")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran_order else "C")


def _read_header(handle: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Read the header of a ``.npy`` stream: shape, whether the order is Fortran's, and dtype without objects."""
    version = npy_format.read_magic(handle)
    readers = {(1, 0): npy_format.read_array_header_1_0, (2, 0): npy_format.read_array_header_2_0}
    if version not in readers:
        raise ValueError(f"version {version} of the format is unknown")
    shape, fortran_order, dtype = readers[version](handle)
    if dtype.hasobject:
        raise ValueError("it holds Python objects")
    if dtype.itemsize == 0:
        raise ValueError("its elements have no size")
    return shape, fortran_order, dtype
