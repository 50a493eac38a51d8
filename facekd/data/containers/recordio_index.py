"""Reader of a RecordIO index: the ``.idx`` file that lists where each record of a ``.rec`` begins."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facekd.errors import DataError

_LINE = re.compile(r"\s*\d{1,18}\s+\d{1,18}\s*")


def read_index(path: Path) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Read lines ``key, tab, offset``.

    Args:
        path: the ``.idx`` file.

    Returns:
        The keys in ascending order, and the offsets in bytes, both int64 [records].

    Raises:
        DataError: the file is missing or empty, a line is malformed, or a key occurs twice.
    """
    if not path.is_file() or path.stat().st_size == 0:
        raise DataError(f"{path} is missing or empty; copy it from where the .rec came from")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", DeprecationWarning)  # numpy before 2.3 only warns that it truncates 2.5 to 2
            table = np.loadtxt(path, np.int64, comments=None, ndmin=2, encoding="latin-1")
    except (ValueError, OverflowError, DeprecationWarning):
        table = np.zeros((0, 0), np.int64)
    if table.shape[1:] != (2,) or table.min() < 0:
        lines = path.read_text(encoding="latin-1").splitlines()
        malformed = ((number, line) for number, line in enumerate(lines, 1) if not _LINE.fullmatch(line))
        number, line = next(malformed, (1, ""))
        raise DataError(f"{path}, line {number}: {line[:40]!r} is not 'key, tab, offset' in numbers; copy it again")
    keys, offsets = np.ascontiguousarray(table[table[:, 0].argsort(kind="stable")].T)
    repeated = np.flatnonzero(keys[1:] == keys[:-1])
    if len(repeated):
        raise DataError(f"{path} lists record {keys[repeated[0]]} twice ({len(repeated)} repeats); copy it again")
    return keys, offsets
