"""A tree of MegaFace's feature files: each image's feature under the image's own path, with an ending put behind.

In the kit's words ``facescrub/NAME/NAME_1.png_algo.bin``; the root is then ``facescrub`` and the ending ``_algo.bin``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple, NoReturn, TypeVar

import numpy as np
from numpy.typing import NDArray

from facekd.data.containers.path_list import check_paths, some
from facekd.data.feature_set import ROWS, Features, FeatureSet
from facekd.data.megaface.feature_bin import HEADER, read_bin_feature, size_of, write_bin_feature
from facekd.errors import DataError
from facekd.utils.progress import progress

ENDING = "_facekd.bin"
"""What stands behind an image's path unless another ending is given."""
THREADS = 8
"""Threads that open files: they hide a disk's delay; files in memory are read as fast by one."""
T = TypeVar("T")


class Written(NamedTuple):
    """What `write_tree` did.

    Attributes:
        written: files.
        kept: files that were there already and held the same.
    """

    written: int
    kept: int


def write_tree(features: FeatureSet, root: Path, ending: str = ENDING) -> Written:
    """Write features as a tree, each row at unit length under its name; run again, it continues.

    The kit's metric is Euclidean, so that other lengths would give other ranks.

    Args:
        features: with the names of their images.
        root: the folder the names start from, made if absent.
        ending: what stands behind a name.

    Raises:
        DataError: no names, names that lead out of the folder or come twice, or a row that is zero or not finite.
        SetupError: a file cannot be written.
    """
    names = features.names
    if names is None:
        raise DataError(f"{features.path} does not say which image a row belongs to; a tree needs the images' paths")
    check_paths(names, str(features.path))

    def write(rows: Features, start: int, first: int, last: int) -> int:
        files = [root / f"{names[row]}{ending}" for row in range(first, last)]
        return sum(write_bin_feature(file, rows[row - start]) for row, file in enumerate(files, first))

    written = 0
    with progress("write features", len(features), "file") as advance:
        for start in range(0, len(features), ROWS):
            stop = min(start + ROWS, len(features))
            written += sum(_in_threads(partial(write, features.unit(start, stop), start), start, stop))
            advance(stop - start, f"{stop - written} there already" if written < stop else "")
    return Written(written, len(features) - written)


def tree_names(root: Path, ending: str = ENDING) -> list[str]:
    """What a tree holds: the images' paths below ``root``, in the order of their text.

    Raises:
        DataError: there is no file with that ending, or a folder cannot be read.
    """
    found = [
        Path(folder, file).relative_to(root).as_posix().removesuffix(ending)
        for folder, _, files in os.walk(root, onerror=_unreadable) for file in files if file.endswith(ending)
    ]
    if not found:
        raise DataError(f"no file below {root} ends in {ending!r}; check the folder and the ending")
    return sorted(found)


class TreeFeatures(FeatureSet):
    """A tree of such files, in the order of a list; the size of every file is looked at when it is opened.

    Args:
        root: the folder the paths start from.
        names: the images' relative paths; an image's feature is the file ``root/NAME`` + ``ending``.
        ending: what stands behind the path of the image.

    Raises:
        DataError: no names, names that lead out of the folder or come twice, and files that are missing, truncated, of
            another kind or of another dimension than the first.
    """

    names: Sequence[str]

    def __init__(self, root: Path, names: Sequence[str], ending: str = ENDING) -> None:
        self.path, self.names, self._ending = root, names, ending
        if not names:
            raise DataError(f"no feature is asked of {root}; give a list with one path or more")
        check_paths(names, f"the list of features below {root}")
        sizes = self._sizes()
        missing = [self._file(row) for row in np.flatnonzero(sizes < 0).tolist()]
        if missing:
            raise DataError(
                f"{len(missing)} of {len(names)} feature files are not there: {some(missing)}; "
                f"compute them, or check the folder and the ending (now {ending!r})"
            )
        self.dimension = len(read_bin_feature(Path(self._file(0))))
        odd = np.flatnonzero(sizes != size_of(self.dimension))
        if len(odd):
            self._refuse(int(odd[0]), f"; {len(odd)} of {len(names)} files are not like the first" * (len(odd) > 1))

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.names)

    def _file(self, row: int) -> str:
        return f"{self.path}/{self.names[row]}{self._ending}"

    def _sizes(self) -> NDArray[np.int64]:
        """Size of every file in bytes, -1 where there is none."""
        sizes = np.full(len(self), -1, np.int64)

        def look(start: int, stop: int) -> None:
            for row in range(start, stop):
                try:
                    sizes[row] = os.stat(self._file(row)).st_size
                except (OSError, ValueError):  # a path with a NUL byte is a ValueError
                    continue

        with progress("look for features", len(self), "file") as advance:
            for start in range(0, len(self), ROWS):
                stop = min(start + ROWS, len(self))
                _in_threads(look, start, stop)
                advance(stop - start, "")
        return sizes

    def _refuse(self, row: int, more: str = "") -> NoReturn:
        """Say what is wrong with a file that is not like the first."""
        found = len(read_bin_feature(Path(self._file(row))))  # raises where the file is no feature at all
        raise DataError(
            f"{self._file(row)} holds {found} numbers, {self._file(0)} {self.dimension}{more}; "
            "they come from different models: compute them by one"
        )

    def block(self, start: int, stop: int) -> Features:
        """See `FeatureSet.block`."""
        rows = np.empty((stop - start, self.dimension), "<f4")
        right, size = HEADER.pack(self.dimension, 1, 4, 5), size_of(self.dimension)

        def read(first: int, last: int) -> None:
            header = bytearray(HEADER.size)
            for row in range(first, last):
                try:
                    descriptor = os.open(self._file(row), os.O_RDONLY)
                    try:
                        got = os.readv(descriptor, [header, rows[row - start], bytearray(1)])
                    finally:
                        os.close(descriptor)
                except OSError as problem:
                    raise DataError(f"{self._file(row)} cannot be read ({problem.strerror}); restore it") from problem
                if got != size or header != right:
                    self._refuse(row)

        _in_threads(read, start, stop)
        return np.asarray(rows, np.float32)

    def where(self, row: int) -> str:
        """The feature file."""
        return self._file(row)


def _in_threads(work: Callable[[int, int], T], start: int, stop: int) -> list[T]:
    """Call ``work(first, last)`` on equal parts of a range in threads; what it raises is raised."""
    if stop - start < 16 * THREADS:  # starting the threads would take longer
        return [work(start, stop)]
    bounds = np.linspace(start, stop, THREADS + 1).astype(int).tolist()
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(work, bounds[:-1], bounds[1:]))


def _unreadable(problem: OSError) -> NoReturn:
    raise DataError(f"{problem.filename} cannot be read ({problem.strerror}); allow it or move it elsewhere")
