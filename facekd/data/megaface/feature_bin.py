"""A feature file of the MegaFace development kit: an OpenCV matrix with one column, one file per image.

The file contains four int32 (rows = dimension, columns = 1, bytes per row = 4, type = 5, which is OpenCV's CV_32F) and
then ``rows`` float32, all of them little-endian.
"""

from __future__ import annotations

import os
import struct
from contextlib import suppress
from pathlib import Path

import numpy as np

from facekd.data.feature_set import Features
from facekd.errors import DataError
from facekd.io.reading import MEBIBYTE, read_bytes
from facekd.io.writing import writing
from facekd.text import path_text

HEADER = struct.Struct("<4i")
_COLUMNS = 1
_ROW_BYTES = 4
_CV_32F = 5
_ADVICE = "compute this feature again"
_LIMIT = MEBIBYTE
"""Bytes of a file: features have some hundreds of numbers, a quarter of a million fit."""


def feature_header(dimension: int) -> bytes:
    """Return the header of a feature of this length."""
    return HEADER.pack(dimension, _COLUMNS, _ROW_BYTES, _CV_32F)


def feature_file_size(dimension: int) -> int:
    """Return the size in bytes of a file that contains a feature of this length."""
    return HEADER.size + 4 * dimension


def read_bin_feature(path: Path) -> Features:
    """Read one feature: float32 [dimension].

    Raises:
        DataError: the file does not exist, is truncated, too long, or contains another kind of matrix.
    """
    data = read_bytes(path, limit=_LIMIT, remedy=_ADVICE)
    if len(data) < HEADER.size:
        raise DataError(f"{path_text(path)} is cut short at {len(data)} bytes, its header alone has {HEADER.size}; "
                        f"{_ADVICE}")
    dimension, *matrix_type = HEADER.unpack_from(data)
    if dimension < 1 or matrix_type != [_COLUMNS, _ROW_BYTES, _CV_32F]:
        raise DataError(f"{path_text(path)} begins with {(dimension, *matrix_type)}; a feature file begins with "
                        f"(dimension, 1, 4, 5); {_ADVICE}")
    expected = feature_file_size(dimension)
    if len(data) != expected:
        fault = "is cut short" if len(data) < expected else "is too long"
        raise DataError(f"{path_text(path)} {fault}: {len(data)} bytes, {dimension} numbers need {expected}; {_ADVICE}")
    return np.frombuffer(data, "<f4", offset=HEADER.size).astype(np.float32)


def write_bin_feature(path: Path, row: Features) -> bool:
    """Write one feature atomically; create its folder if necessary.

    Args:
        path: the file.
        row: float [dimension]; stored as float32.

    Returns:
        Whether the file was written; False if it already had this content.

    Raises:
        SetupError: the file cannot be written.
    """
    data = feature_header(len(row)) + row.astype("<f4").tobytes()
    temporary = path.with_name(f".{path.name}.tmp")
    with writing(path):
        if path.exists() and path.read_bytes() == data:
            return False
        # Unlike `files.atomic_write` this does not flush to the disk, which would cost milliseconds per file and hours
        # per million. After a power failure files may be empty or missing. Readers of the tree detect that by size and
        # header, and a second run writes only these files, because it compares the content. The temporary has one name
        # in all processes, so that the next run writes over what a kill left; the tree is locked.
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(temporary, "wb", buffering=0) as handle:
                handle.write(data)
            os.replace(temporary, path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise
    return True
