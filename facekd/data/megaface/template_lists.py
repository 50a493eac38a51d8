"""The template lists of the MegaFace development kit: the probes, and the distractors of each size and set."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facekd.data.evaluation_set import list_folder
from facekd.data.problems import raise_if_any
from facekd.errors import DataError
from facekd.io.documents import read_json
from facekd.text import path_text, short_repr, shorten

DISTRACTOR_LIST = re.compile(r"megaface_features_list\.json_([0-9]{1,9})_([0-9]{1,4})")
"""The file name of a distractor list; the groups are the size and the set."""
UNSAFE_PATH = re.compile(r"[/\\]|[A-Za-z]:|(?:.*[/\\])?\.\.(?:[/\\]|$)|.*\0|$", re.DOTALL)
"""Matches a path that is empty, absolute, contains a NUL byte or leads out of the folder it is relative to."""


@dataclass(frozen=True, eq=False)
class TemplateList:
    """One template list, in its order.

    Attributes:
        file: the file from which the list was read.
        paths: the images, with '/', relative to the folder of the images or of their features.
        labels: int64 [paths], the identity in each image, an index into ``identities``; None in a distractor list.
        identities: the names of the identities, in the order of their first image.
    """

    file: Path
    paths: list[str]
    labels: NDArray[np.int64] | None = None
    identities: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.paths)


def read_probe_list(path: Path) -> TemplateList:
    """Read a list of probes, ``{"path": [...], "id": [...]}``, such as ``facescrub_features_list.json``.

    An id is a name (FaceScrub) or a whole number.

    Raises:
        DataError: the file does not exist, is not JSON of that form, or see `read_distractor_list`.
    """
    content = read_json(path)
    paths = _read_paths(path, content)
    ids = _read_list(path, content, "id")
    if len(ids) != len(paths):
        raise DataError(f"{path_text(path)}: 'path' has {len(paths)} entries and 'id' {len(ids)}; restore the file")
    problems = [f"id[{row}] is {short_repr(name)}" for row, name in enumerate(ids)
                if not isinstance(name, (str, int)) or isinstance(name, bool)]
    raise_if_any(path, problems, "an id is a name or a whole number, correct the file")
    label_of = {name: label for label, name in enumerate(dict.fromkeys(map(str, ids)))}
    labels = np.array([label_of[str(name)] for name in ids], np.int64)
    return TemplateList(path, paths, labels, tuple(label_of))


def read_distractor_list(path: Path) -> TemplateList:
    """Read a list of distractors, ``{"path": [...]}``, such as ``megaface_features_list.json_1000000_1``.

    Raises:
        DataError: the file does not exist, is not JSON of that form, contains no path, a path that is not text, is
            absolute, contains '..' or is repeated, or another number of paths than its name says; the message names
            the first of them.
    """
    paths = _read_paths(path, read_json(path))
    named = DISTRACTOR_LIST.fullmatch(path.name)
    if named and int(named[1]) != len(paths):
        raise DataError(f"{path_text(path)} holds {len(paths)} paths, its name says {named[1]}; restore the file")
    return TemplateList(path, paths)


def list_distractor_sizes(folder: Path, set_index: int = 1) -> list[int]:
    """Return the sizes of the distractor lists in a folder, ascending.

    Args:
        folder: the folder ``templatelists`` of the development kit.
        set_index: the kit's number of the set, 1 to 10.

    Raises:
        DataError: the folder does not exist.
    """
    if not folder.is_dir():
        raise DataError(f"{path_text(folder)} is not a folder; give the kit's folder of template lists")
    matches = [DISTRACTOR_LIST.fullmatch(file.name) for file in list_folder(folder)]
    return sorted(int(match[1]) for match in matches if match and int(match[2]) == set_index)


def distractor_list_path(folder: Path, size: int, set_index: int = 1) -> Path:
    """Return the path of the distractor list of a size and set.

    Args:
        folder: the folder ``templatelists`` of the development kit.
        size: the number of distractors.
        set_index: the kit's number of the set, 1 to 10.

    Raises:
        DataError: the folder does not exist or has no list of that size and set; the message names the sizes it has.
    """
    sizes = list_distractor_sizes(folder, set_index)
    if size not in sizes:
        available = f"the sizes {shorten(', '.join(map(str, sizes)))}" if sizes else "no distractor list"
        raise DataError(f"{path_text(folder)} has no distractor list of size {size}, set {set_index}; of set "
                        f"{set_index} it has {available}. Give one of these, or add "
                        f"megaface_features_list.json_{size}_{set_index}")
    return folder / f"megaface_features_list.json_{size}_{set_index}"


def _read_list(path: Path, content: dict[str, Any], key: str) -> list[Any]:
    """Return the list ``content[key]``, which must not be empty."""
    entries = content.get(key)
    if isinstance(entries, list) and entries:
        return entries
    if key not in content:
        fault = "is missing"
    elif entries == []:
        fault = "is empty"
    else:
        fault = "is not a list"
    raise DataError(f"{path_text(path)}: '{key}' {fault}; a template list names its images in the lists 'path' and "
                    "'id'")


def _read_paths(path: Path, content: dict[str, Any]) -> list[str]:
    """Return the list ``path``, after a check of its entries."""
    paths = _read_list(path, content, "path")
    problems = [f"path[{row}] is {short_repr(name)}" for row, name in enumerate(paths)
                if not isinstance(name, str) or UNSAFE_PATH.match(name)]
    raise_if_any(path, problems, "a path is text, relative and without '..', correct the file")
    if len(set(paths)) != len(paths):
        duplicates = [f"{shorten(name, 60)} ({count} times)" for name, count in Counter(paths).items() if count > 1]
        raise_if_any(path, duplicates, "an image occurs once in a list, correct the file")
    return paths
