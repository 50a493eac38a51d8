"""Images named by a list of relative paths, such as the lists of MegaFace's devkit and InsightFace's test packs."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facekd.data.face_set import FileFaces
from facekd.errors import DataError
from facekd.io.reading import read_text
from facekd.text import path_text, shorten
from facekd.utils.progress import progress_bar

MAX_NAMED = 5
"""Number of paths that an error message names; further ones are only counted."""
_STEP = 1000
_MAX_CHARACTERS = 80


def read_path_list(path: Path) -> list[str]:
    """Read a list with one path per line, such as InsightFace's ``facescrub_lst`` and ``megaface_lst``.

    Whitespace around a path and empty lines are ignored. Names that are not UTF-8 become the same surrogate escapes
    that Python uses in file names.

    Raises:
        DataError: the list cannot be read or is empty.
    """
    text = read_text(path, errors="surrogateescape", remedy="check the path")
    paths = [stripped for line in text.split("\n") if (stripped := line.strip())]
    if not paths:
        raise DataError(f"the list {path_text(path)} is empty; it needs one path a line")
    return paths


def check_relative_paths(paths: Sequence[str], description: str) -> None:
    """Refuse paths that lead out of their folder, and paths that occur twice.

    Args:
        paths: relative paths with '/'.
        description: the name of the list in the error message.

    Raises:
        DataError: there are such paths; the message counts all and names the first five.
    """
    outside = list(filter(leads_outside, paths))
    if outside:
        raise DataError(
            f"{len(outside)} paths of {description} are empty, absolute or lead upwards: {abbreviate(outside)}; "
            "give paths relative to the folder"
        )
    if len(set(paths)) < len(paths):
        duplicates = [path for path, count in Counter(paths).items() if count > 1]
        raise DataError(
            f"{len(duplicates)} paths come more than once in {description}: {abbreviate(duplicates)}; name each once"
        )


def leads_outside(path: str) -> bool:
    """Return whether a path is empty, absolute or leads upwards, so that it is not below the folder it starts from."""
    return not path or path[0] == "/" or (".." in path and ".." in path.split("/"))


def abbreviate(paths: Sequence[str]) -> str:
    """Join the first five paths for an error message, followed by '...' if there are more."""
    more = ", ..." if len(paths) > MAX_NAMED else ""
    return ", ".join(shorten(path, _MAX_CHARACTERS) for path in paths[:MAX_NAMED]) + more


def check_files_exist(root: Path, paths: Sequence[str]) -> None:
    """Refuse a list of images some of which are not there.

    Args:
        root: the folder to which the paths are relative.
        paths: relative paths with '/'.

    Raises:
        DataError: a path is not a file; the message counts all and names the first five.
    """
    missing = []
    with progress_bar("look for images", len(paths), "file") as advance:
        for start in range(0, len(paths), _STEP):
            block = paths[start : start + _STEP]
            missing += [path for path in block if not os.path.isfile(root / path)]
            advance(len(block), "")
    if missing:
        raise DataError(
            f"{len(missing)} of the {len(paths)} images listed are not below {path_text(root)}: "
            f"{abbreviate(missing)}; check the folder the paths start from, or take them from the list"
        )


class ListedImages(FileFaces):
    """Image files below a folder, in the order of a list.

    Args:
        root: the folder to which the paths are relative.
        paths: relative paths with '/'; any file extension is accepted.
        labels: int64 [images], the identity of each image. By default the identity is the parent folder, and folders
            are numbered in the order of their first occurrence: ``534/53415754@N00/1.jpg`` has the identity
            ``534/53415754@N00``.

    Raises:
        DataError: the list is empty, a path leads out of the folder, occurs twice or is not a file, or the labels have
            another length.
    """

    def __init__(self, root: Path, paths: Sequence[str], labels: NDArray[np.int64] | None = None) -> None:
        self.path = root
        super().__init__(root, paths)
        if not self._paths:
            raise DataError(f"the list of images below {path_text(root)} is empty; it needs one path or more")
        check_relative_paths(self._paths, f"the list of images below {path_text(root)}")
        check_files_exist(root, self._paths)
        if labels is None:
            label_of: dict[str, int] = {}
            folders = [path.rpartition("/")[0] or "." for path in self._paths]
            self.labels = np.array([label_of.setdefault(folder, len(label_of)) for folder in folders], np.int64)
            self.class_names = list(label_of)
        else:
            if len(labels) != len(self._paths):
                raise DataError(f"the list below {root} has {len(self._paths)} paths and {len(labels)} labels")
            self.labels = labels
            self.class_names = [str(label) for label in range(int(labels.max()) + 1)]
