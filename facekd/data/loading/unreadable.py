"""Images of a training set that cannot be used: listed in a file, and put up with as far as a recipe says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facekd.errors import DataError


class BadRecords:
    """A list of unusable images, a line ``where: why`` each; an image that comes again counts once.

    All processes of a training append to one list, and a resumed training goes on with what stands there.

    Args:
        file: the list; it is made when the first image needs it.
        limit: images that are put up with.
    """

    def __init__(self, file: Path, limit: int) -> None:
        self.file, self.limit, self._known = file, limit, set[str]()

    def add(self, where: str, problem: DataError) -> None:
        """List an image.

        Args:
            where: how a person finds it.
            problem: what is wrong with it.

        Raises:
            DataError: these are more than the limit.
        """
        why = " ".join(str(problem).removeprefix(where).lstrip(" :").split())
        line = f"{where}: {why}"
        if line in self._known:
            return
        self._known = set(self._read())
        if line not in self._known:
            self._known.add(line)
            with self.file.open("a", encoding="utf-8", errors="surrogateescape") as handle:
                handle.write(f"{line}\n")
        if len(self._known) > self.limit:
            raise DataError(
                f"{len(self._known)} images of the training set cannot be used and data.bad_records={self.limit}; "
                f"{self.file} lists them: mend or remove them ('facekd doctor' finds all there are), or allow more"
            ) from problem

    def _read(self) -> list[str]:
        if not self.file.exists():
            return []
        return self.file.read_text(encoding="utf-8", errors="surrogateescape").splitlines()


def stand_ins(bad: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Which row of a batch to take for each: itself, or for a bad one the next good one, in a circle.

    Args:
        bad: bool [batch].

    Returns:
        int64 [batch].

    Raises:
        DataError: all rows are bad.
    """
    good = np.flatnonzero(~bad)
    if not len(good):
        raise DataError(
            f"not one of the {len(bad)} images of a batch can be used; run 'facekd doctor' on the training set"
        )
    return good[np.searchsorted(good, np.arange(len(bad))) % len(good)]
