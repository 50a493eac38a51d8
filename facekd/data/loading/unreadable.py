"""A log of unreadable training images, and their replacement within a batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facekd.errors import DataError
from facekd.text import path_text, printable


class UnreadableImages:
    """A text file with one line ``location: reason`` per unreadable image; repeated images count once.

    All processes of a run append to the same file, and a resumed run continues it.

    Args:
        file: the path of the log; it is created when the first image is added.
        limit: the number of unreadable images that are tolerated.
    """

    def __init__(self, file: Path, limit: int) -> None:
        self.file = file
        self.limit = limit
        self._lines: set[str] = set()

    def add(self, location: str, error: DataError) -> None:
        """Add an image to the log.

        Args:
            location: where the image is stored.
            error: the reason why it cannot be used.

        Raises:
            DataError: the log contains more images than the limit.
        """
        reason = str(error).removeprefix(printable(location)).lstrip(" :")
        line = f"{location}: {reason}".replace("\n", "\\n")
        if line in self._lines:
            return
        self._lines = set(self._read_lines())  # other processes may have added images
        if line not in self._lines:
            self._lines.add(line)
            with self.file.open("a", encoding="utf-8", errors="surrogateescape") as handle:
                handle.write(f"{line}\n")
        if len(self._lines) > self.limit:
            raise DataError(
                f"{len(self._lines)} images of the training set cannot be used and "
                f"data.max_unreadable_images={self.limit}; {path_text(self.file)} lists them: repair or remove them "
                "('facekd doctor' finds all of them), or set data.max_unreadable_images higher"
            ) from error

    def _read_lines(self) -> list[str]:
        if not self.file.exists():
            return []
        return list(filter(None, self.file.read_text(encoding="utf-8", errors="surrogateescape").split("\n")))


def replacement_rows(is_unreadable: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the row to use for each row of a batch: the row itself, or the next readable one, cyclically.

    Args:
        is_unreadable: bool [batch].

    Returns:
        int64 [batch].

    Raises:
        DataError: no row is readable.
    """
    readable = np.flatnonzero(~is_unreadable)
    if not len(readable):
        raise DataError(
            f"none of the {len(is_unreadable)} images of a batch can be used; run 'facekd doctor' on the training set"
        )
    return readable[np.searchsorted(readable, np.arange(len(is_unreadable))) % len(readable)]
