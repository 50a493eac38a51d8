"""The feature file of MegaFace's kit: an OpenCV matrix with one number a row, one file an image.

It holds four int32 (rows = dimension, columns = 1, bytes from row to row = 4, type = 5, which is OpenCV's CV_32F) and
then ``rows`` float32, all little-endian.
"""

from __future__ import annotations

import os
import struct
from contextlib import suppress
from pathlib import Path

import numpy as np

from facekd.data.feature_set import Features
from facekd.errors import DataError, SetupError

HEADER = struct.Struct("<4i")


def size_of(dimension: int) -> int:
    """Bytes of a file that holds a feature of that length."""
    return HEADER.size + 4 * dimension


def read_bin_feature(path: Path) -> Features:
    """Read one feature: float32 [dimension].

    Raises:
        DataError: absent, truncated, too long, or no such matrix.
    """
    again = "compute this feature again"
    try:
        data = path.read_bytes()
    except OSError as problem:
        raise DataError(f"{path} cannot be read ({problem.strerror}); {again}") from problem
    if len(data) < HEADER.size:
        raise DataError(f"{path} is cut short at {len(data)} bytes, its header alone has {HEADER.size}; {again}")
    rows, *rest = HEADER.unpack_from(data)
    if rows < 1 or rest != [1, 4, 5]:
        raise DataError(f"{path} begins with {(rows, *rest)}; a feature file begins with (dimension, 1, 4, 5); {again}")
    if len(data) != size_of(rows):
        fault = "is cut short" if len(data) < size_of(rows) else "is too long"
        raise DataError(f"{path} {fault}: {len(data)} bytes, {rows} numbers need {size_of(rows)}; {again}")
    return np.frombuffer(data, "<f4", offset=HEADER.size).astype(np.float32)


def write_bin_feature(path: Path, row: Features) -> bool:
    """Write one feature, whole or not at all; in a folder that is made if absent.

    Args:
        path: the file.
        row: float [dimension], written as float32.

    Returns:
        Whether it was written; a file that holds just this already is left as it is.

    Raises:
        SetupError: it cannot be written, e.g. the disk is full.
    """
    data = HEADER.pack(len(row), 1, 4, 5) + row.astype("<f4").tobytes()
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        if path.exists() and path.read_bytes() == data:
            return False
        # Unlike `files.atomic` this flushes nothing to the disk, which costs milliseconds a file and hours for a
        # million. A power failure may then leave files empty or missing; their size and header show that to whoever
        # opens the tree, and writing it again writes just these, because the content is compared.
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb", buffering=0) as handle:
            handle.write(data)
        os.replace(temporary, path)
    except OSError as problem:
        with suppress(OSError):
            temporary.unlink()
        raise SetupError(
            f"{path} cannot be written ({problem.strerror}); free some space or choose another folder, "
            "and run the same command again, it continues"
        ) from problem
    return True
