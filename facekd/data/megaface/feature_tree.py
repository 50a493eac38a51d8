"""A tree of MegaFace feature files: the feature of an image has the image's relative path plus a suffix.

In the development kit's words ``facescrub/NAME/NAME_1.png_algo.bin``: the root is ``facescrub``, the suffix
``_algo.bin``.
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

from facekd.data.containers.path_list import abbreviate, check_relative_paths
from facekd.data.feature_set import BLOCK_ROWS, Features, FeatureSet
from facekd.data.megaface.feature_bin import (
    HEADER,
    feature_file_size,
    feature_header,
    read_bin_feature,
    write_bin_feature,
)
from facekd.data.megaface.feature_names import DEFAULT_SUFFIX, check_suffix
from facekd.errors import DataError
from facekd.io.locks import lock_output
from facekd.text import path_text
from facekd.utils.progress import progress_bar

THREADS = 8
"""Number of threads that open files. They hide the latency of a disk; cached files are read as fast by one thread."""
T = TypeVar("T")


class WriteCounts(NamedTuple):
    """The result of `write_feature_tree`.

    Attributes:
        written: number of files that were written.
        unchanged: number of files that already existed with the same content.
    """

    written: int
    unchanged: int


def write_feature_tree(features: FeatureSet, root: Path, suffix: str = DEFAULT_SUFFIX) -> WriteCounts:
    """Write features as a tree, each row at unit length; a second run after an interruption continues.

    The development kit compares features by their Euclidean distance, so other lengths would change the ranks.

    Args:
        features: the features; they must have image names.
        root: the root of the tree; created if necessary.
        suffix: the text that follows the path of an image.

    Raises:
        DataError: the features have no names, a name leads out of the folder or occurs twice, a row is zero or not
            finite, or the suffix is no end of a file name.
        SetupError: a file cannot be written, or another process writes the tree.
    """
    check_suffix(suffix)
    names = features.image_names
    if names is None:
        raise DataError(f"{path_text(features.path)} has no image names; a tree needs the images' paths")
    check_relative_paths(names, path_text(features.path))

    def write(block: Features, block_start: int, first: int, last: int) -> int:
        """Write rows ``first`` to ``last`` of the features, which are in ``block``; return how many were new."""
        return sum(write_bin_feature(root / f"{names[row]}{suffix}", block[row - block_start])
                   for row in range(first, last))

    written = 0
    with lock_output(root), progress_bar("write features", len(features), "file") as advance:
        for start in range(0, len(features), BLOCK_ROWS):
            stop = min(start + BLOCK_ROWS, len(features))
            block = features.l2_normalized_rows(start, stop)
            written += sum(_in_threads(partial(write, block, start), start, stop))
            advance(stop - start, f"{stop - written} unchanged" if written < stop else "")
    return WriteCounts(written, len(features) - written)


class TreeFeatures(FeatureSet):
    """The features of a tree, in the order of a list. The size of every file is checked when the tree is opened.

    Args:
        root: the root of the tree.
        names: the relative paths of the images.
        suffix: the text that follows the path of an image.

    Raises:
        DataError: there are no names, a name leads out of the folder or occurs twice, or a file is missing, truncated,
            of another kind or of another dimension than the first file.
    """

    image_names: Sequence[str]

    def __init__(self, root: Path, names: Sequence[str], suffix: str = DEFAULT_SUFFIX) -> None:
        self.path = root
        self.image_names = names
        self._suffix = suffix
        check_suffix(suffix)
        if not names:
            raise DataError(f"the list of features below {path_text(root)} is empty; give one with one path or more")
        check_relative_paths(names, f"the list of features below {path_text(root)}")
        sizes = self._file_sizes()
        missing = [f"{names[row]}{suffix}" for row in np.flatnonzero(sizes < 0).tolist()]
        if missing:
            raise DataError(
                f"{len(missing)} of {len(names)} feature files do not exist below {path_text(root)}: "
                f"{abbreviate(missing)}; "
                f"compute them, or check the folder and the suffix (now {suffix!r})"
            )
        self.dimension = len(read_bin_feature(Path(self._file(0))))
        differing = np.flatnonzero(sizes != feature_file_size(self.dimension))
        if len(differing):
            count = f"; {len(differing)} of {len(names)} files are not like the first" if len(differing) > 1 else ""
            self._raise_for_file(int(differing[0]), count)

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.image_names)

    def read_rows(self, start: int, stop: int) -> Features:
        """See `FeatureSet.read_rows`."""
        rows = np.empty((stop - start, self.dimension), "<f4")
        expected_header = feature_header(self.dimension)
        expected_size = feature_file_size(self.dimension)

        def read(first: int, last: int) -> None:
            """Read rows ``first`` to ``last`` into ``rows``."""
            header = bytearray(HEADER.size)
            for row in range(first, last):
                try:
                    descriptor = os.open(self._file(row), os.O_RDONLY)
                    try:
                        # One system call per file; the last buffer receives a byte only if the file is too long.
                        size = os.readv(descriptor, [header, rows[row - start], bytearray(1)])
                    finally:
                        os.close(descriptor)
                except OSError as error:
                    raise DataError(f"{path_text(self._file(row))} cannot be read ({error.strerror}); restore "
                                    "it") from error
                if size != expected_size or header != expected_header:
                    self._raise_for_file(row)

        _in_threads(read, start, stop)
        return np.asarray(rows, np.float32)

    def location(self, row: int) -> str:
        """Return the path of the feature file."""
        return self._file(row)

    def _file(self, row: int) -> str:
        return f"{self.path}/{self.image_names[row]}{self._suffix}"

    def _file_sizes(self) -> NDArray[np.int64]:
        """Return the size of every file in bytes, -1 for missing files."""
        sizes = np.full(len(self), -1, np.int64)

        def look_up(start: int, stop: int) -> None:
            """Fill in the sizes of rows ``start`` to ``stop``."""
            for row in range(start, stop):
                try:
                    sizes[row] = os.stat(self._file(row)).st_size
                except (OSError, ValueError):  # a path with a NUL byte is a ValueError
                    continue

        with progress_bar("check features", len(self), "file") as advance:
            for start in range(0, len(self), BLOCK_ROWS):
                stop = min(start + BLOCK_ROWS, len(self))
                _in_threads(look_up, start, stop)
                advance(stop - start, "")
        return sizes

    def _raise_for_file(self, row: int, count: str = "") -> NoReturn:
        """Raise the error for a file that differs from the first; ``count`` is added to the message."""
        dimension = len(read_bin_feature(Path(self._file(row))))  # raises if the file is not a feature file at all
        raise DataError(
            f"{path_text(self._file(row))} holds {dimension} numbers, {path_text(self._file(0))} {self.dimension}"
            f"{count}; they come from different models: compute them by one"
        )


def _in_threads(work: Callable[[int, int], T], start: int, stop: int) -> list[T]:
    """Call ``work(first, last)`` on equal shares of a range in threads; exceptions are passed on."""
    if stop - start < 16 * THREADS:  # starting the threads would take longer
        return [work(start, stop)]
    bounds = np.linspace(start, stop, THREADS + 1).astype(int).tolist()
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(work, bounds[:-1], bounds[1:]))
