"""Images named by a list of relative paths, as MegaFace's kit and InsightFace's test packs name theirs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facekd.data.face_set import FaceSet
from facekd.errors import DataError
from facekd.utils.progress import progress

NAMED = 5
"""Paths an error names before it only counts."""
_STEP = 1000


def read_list(path: Path) -> list[str]:
    """Read a list of one path a line, e.g. InsightFace's ``facescrub_lst`` and ``megaface_lst``.

    Blanks around a path and empty lines do not count. Names that are no UTF-8 are kept as Python names such files.

    Raises:
        DataError: the list cannot be read or names nothing.
    """
    try:
        text = path.read_bytes().decode("utf-8", "surrogateescape")
    except OSError as problem:
        raise DataError(f"the list {path} cannot be read ({problem.strerror}); check the path") from problem
    lines = [line.strip() for line in text.split("\n")]
    if not any(lines):
        raise DataError(f"the list {path} is empty; it needs one path a line")
    return [line for line in lines if line]


def check_paths(paths: Sequence[str], what: str) -> None:
    """Refuse paths that lead out of their folder, and paths that come twice.

    Args:
        paths: relative paths with '/'.
        what: how a person knows them, for the error.

    Raises:
        DataError: one of them is like this; all are counted and the first five named.
    """
    outside = [path for path in paths if not path or path[0] == "/" or (".." in path and ".." in path.split("/"))]
    if outside:
        raise DataError(
            f"{len(outside)} paths of {what} are empty, absolute or lead upwards: {some(outside)}; "
            "give paths relative to the folder"
        )
    if len(set(paths)) < len(paths):
        twice = [path for path, count in Counter(paths).items() if count > 1]
        raise DataError(f"{len(twice)} paths come more than once in {what}: {some(twice)}; name each once")


def some(paths: Sequence[str]) -> str:
    """The first five, for an error."""
    return ", ".join(paths[:NAMED]) + (", ..." if len(paths) > NAMED else "")


class ListedImages(FaceSet):
    """Image files below a folder, in the order of a list.

    Args:
        root: the folder the paths start from.
        paths: relative paths with '/'; the files need no particular ending.
        labels: int64 [images], the person of each image; by default its folder, numbered as the folders first come
            in the list, so that ``534/53415754@N00/1.jpg`` belongs to ``534/53415754@N00``.

    Raises:
        DataError: no path, paths that lead out of the folder, come twice or name no file, or labels of another length.
    """

    def __init__(self, root: Path, paths: Sequence[str], labels: NDArray[np.int64] | None = None) -> None:
        self.path, self._paths = root, list(paths)
        if not self._paths:
            raise DataError(f"the list of images below {root} is empty; it needs one path or more")
        check_paths(self._paths, f"the list of images below {root}")
        self._check_files()
        if labels is None:
            number: dict[str, int] = {}
            folders = [path.rpartition("/")[0] or "." for path in self._paths]
            self.labels = np.array([number.setdefault(folder, len(number)) for folder in folders], np.int64)
            self.names = list(number)
        else:
            if len(labels) != len(self._paths):
                raise DataError(f"the list below {root} has {len(self._paths)} paths and {len(labels)} labels")
            self.labels, self.names = labels, [str(label) for label in range(int(labels.max()) + 1)]

    def _check_files(self) -> None:
        missing = []
        with progress("look for images", len(self._paths), "file") as advance:
            for start in range(0, len(self._paths), _STEP):
                part = self._paths[start : start + _STEP]
                missing += [path for path in part if not (self.path / path).is_file()]
                advance(len(part), "")
        if missing:
            raise DataError(
                f"{len(missing)} of the {len(self._paths)} images listed are not below {self.path}: {some(missing)}; "
                "check the folder the paths start from, or take them from the list"
            )

    def read(self, index: int) -> bytes:
        """The bytes of image file ``index``.

        Raises:
            DataError: the file cannot be read.
        """
        try:
            return (self.path / self._paths[index]).read_bytes()
        except OSError as problem:
            raise DataError(f"{self.where(index)} cannot be read ({problem.strerror}); restore it") from problem

    def where(self, index: int) -> str:
        """The image file."""
        return str(self.path / self._paths[index])

    def name(self, index: int) -> str:
        """Its path in the list."""
        return self._paths[index]
