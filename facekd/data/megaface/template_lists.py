"""The MegaFace kit's template lists: which images are probes, and which are the distractors of a size and set."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facekd.errors import DataError
from facekd.utils.files import read_json

DISTRACTORS = re.compile(r"megaface_features_list\.json_(\d+)_(\d+)")
"""Names of the distractor lists; the groups are the size and the set."""
UNSAFE = re.compile(r"[/\\]|[A-Za-z]:|(?:.*[/\\])?\.\.(?:[/\\]|$)|.*\0|$", re.DOTALL)
"""Matches a path that is empty, absolute, holds a zero byte or climbs out of the folder it starts from."""
SHOWN = 5
"""Problems an error names; it counts the rest."""


@dataclass(frozen=True, eq=False)
class TemplateList:
    """One list of the kit, in its order.

    Attributes:
        file: the file it was read from.
        paths: the images, with '/', below the folder of the images or of their features.
        labels: int64 [paths], the person in each image, an index into ``people``; None in a list of distractors.
        people: the people's names, in the order of their first image.
    """

    file: Path
    paths: list[str]
    labels: NDArray[np.int64] | None = None
    people: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Number of images."""
        return len(self.paths)


def read_probe_list(path: Path) -> TemplateList:
    """Read a list of probes, ``{"path": [...], "id": [...]}``, such as ``facescrub_features_list.json``.

    Ids are names (FaceScrub) or whole numbers.

    Raises:
        DataError: no such file, not JSON of that form, or as `read_distractor_list`.
    """
    content = read_json(path)
    paths, ids = _paths(path, content), _entries(path, content, "id")
    if len(ids) != len(paths):
        raise DataError(f"{path}: 'path' has {len(paths)} entries and 'id' {len(ids)}; restore the file")
    wrong = (row for row, name in enumerate(ids) if not isinstance(name, (str, int)) or isinstance(name, bool))
    _refuse(path, (f"id[{row}] is {ids[row]!r}" for row in wrong), "an id is a name or a whole number")
    people = {name: label for label, name in enumerate(dict.fromkeys(map(str, ids)))}
    labels = np.array([people[str(name)] for name in ids], np.int64)
    return TemplateList(path, paths, labels, tuple(people))


def read_distractor_list(path: Path) -> TemplateList:
    """Read a list of distractors, ``{"path": [...]}``, such as ``megaface_features_list.json_1000000_1``.

    Raises:
        DataError: no such file, not JSON of that form, no path, a path that is not text, is absolute, holds '..' or
            stands there twice, or another number of paths than the file's name says; the first ones are named.
    """
    paths = _paths(path, read_json(path))
    named = DISTRACTORS.fullmatch(path.name)
    if named and int(named[1]) != len(paths):
        raise DataError(f"{path} holds {len(paths)} paths, its name says {named[1]}; restore the file")
    return TemplateList(path, paths)


def sizes_in(folder: Path, set_index: int = 1) -> list[int]:
    """The sizes a folder has a distractor list of, rising.

    Args:
        folder: the kit's ``templatelists``.
        set_index: the kit's number of the set, 1 to 10.

    Raises:
        DataError: no such folder.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; give the kit's folder of template lists")
    names = [DISTRACTORS.fullmatch(file.name) for file in folder.iterdir()]
    return sorted(int(name[1]) for name in names if name and int(name[2]) == set_index)


def distractor_list(folder: Path, size: int, set_index: int = 1) -> Path:
    """The list of a size and set.

    Raises:
        DataError: no such folder, or no list of that size and set in it; the message says which sizes there are.
    """
    sizes = sizes_in(folder, set_index)
    if size not in sizes:
        there = f"the sizes {', '.join(map(str, sizes))}" if sizes else "no distractor list"
        raise DataError(f"{folder} has no distractor list of size {size}, set {set_index}; of set {set_index} it has "
                        f"{there}. Give one of these, or add megaface_features_list.json_{size}_{set_index}")
    return folder / f"megaface_features_list.json_{size}_{set_index}"


def _entries(path: Path, content: dict[str, Any], key: str) -> list[Any]:
    entries = content.get(key)
    if not isinstance(entries, list) or not entries:
        state = "is missing" if key not in content else "is empty" if entries == [] else "is not a list"
        raise DataError(f"{path}: '{key}' {state}; a template list names its images in the lists 'path' and 'id'")
    return entries


def _paths(path: Path, content: dict[str, Any]) -> list[str]:
    paths = _entries(path, content, "path")
    wrong = (row for row, name in enumerate(paths) if not isinstance(name, str) or UNSAFE.match(name))
    _refuse(path, (f"path[{row}] is {paths[row]!r}" for row in wrong), "a path is text, relative and without '..'")
    if len(set(paths)) != len(paths):
        twice = (f"{name} ({count} times)" for name, count in Counter(paths).items() if count > 1)
        _refuse(path, twice, "an image stands in a list once")
    return paths


def _refuse(path: Path, problems: Iterable[str], rule: str) -> None:
    found = list(problems)
    if found:
        more = f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        raise DataError(f"{path}: {'; '.join(found[:SHOWN])}{more}: {rule}; correct the file")
