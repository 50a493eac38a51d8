"""Groups of the people in the images of a pair list: from a column of the list, or from a file beside it."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from facekd.data.pairs.pair_set import PairSet
from facekd.data.problems import raise_if_any
from facekd.errors import DataError
from facekd.io.reading import read_text, reading
from facekd.text import path_text, short_repr

COLUMN = "group"


@dataclass(frozen=True, eq=False)
class GroupedPairs:
    """A pair list whose images belong to groups of people, for example by age, sex or skin.

    Attributes:
        pairs: the pairs.
        groups: the group of each distinct image; empty where it is not known.
    """

    pairs: PairSet
    groups: list[str]

    @property
    def without_group(self) -> int:
        """The number of images whose group is not known."""
        return self.groups.count("")


def group_by_column(pairs: PairSet, images: Path) -> GroupedPairs:
    """Read the groups from the column ``group`` of a pair CSV: both images of a line belong to its group.

    Args:
        pairs: the pairs of the file, see `facekd.data.pairs.text_lists.read_csv`.
        images: the folder to which its paths are relative.

    Raises:
        DataError: the file has no such column, or an image has two groups.
    """
    groups: dict[Path, str] = {}
    problems = []
    for number, row in read_rows(pairs.source, ("path1", "path2", COLUMN)):
        name = (row[COLUMN] or "").strip()
        for column in ("path1", "path2"):
            image = images / row[column]
            if groups.setdefault(image, name) != name:
                problems.append(f"line {number}: {row[column]} is of the group {short_repr(name, 30)}, and above of "
                                f"{short_repr(groups[image], 30)}")
    raise_if_any(pairs.source, problems, "give each image one group; pairs of two groups need --groups FILE")
    return GroupedPairs(pairs, [groups.get(image, "") if isinstance(image, Path) else "" for image in pairs.images])


def group_by_file(pairs: PairSet, images: Path, file: Path) -> GroupedPairs:
    """Read the groups from a CSV with the columns ``path`` or ``identity``, and ``group``.

    Args:
        pairs: the pairs, whose images are files.
        images: the folder to which the column ``path`` is relative. An identity is the name of a folder below it.
        file: UTF-8, with a header.

    Raises:
        DataError: columns are missing, a line contradicts another, or no image of the list has a group.
    """
    known: dict[str, str] = {}
    problems = []
    for number, row in read_rows(file, (COLUMN,)):
        key = row.get("path") or row.get("identity") or ""
        name = (row[COLUMN] or "").strip()
        if not key or not name:
            problems.append(f"line {number}: a path or identity, and a group, are needed")
        elif known.setdefault(key, name) != name:
            problems.append(f"line {number}: {key} has two groups")
    raise_if_any(file, problems, "correct these lines; the columns are 'path,group' or 'identity,group'")
    groups = [_look_up(known, image, images) if isinstance(image, Path) else "" for image in pairs.images]
    if not any(groups):
        raise DataError(f"{path_text(file)} names no image of {path_text(pairs.source)}; its column 'path' starts from "
                        "--images, and its column 'identity' holds names of folders")
    return GroupedPairs(pairs, groups)


def _look_up(known: Mapping[str, str], image: Path, images: Path) -> str:
    """Return the group of an image by its path or the innermost of its folders that is named; empty if none is."""
    relative = Path(os.path.relpath(image, images))
    names = [relative.as_posix(), *reversed(relative.parent.parts)]
    return next((known[name] for name in names if name in known), "")


def read_rows(file: Path, columns: tuple[str, ...]) -> Iterator[tuple[int, Mapping[str, str]]]:
    """Yield the rows of a CSV file with their line numbers.

    Raises:
        DataError: the file cannot be read, or lacks a column.
    """
    text = read_text(file)
    with reading(file, kind="CSV", remedy="correct it"):
        reader = csv.DictReader(io.StringIO(text, newline=""))
        rows = [(reader.line_num, {str(key): value or "" for key, value in row.items() if isinstance(value, str)})
                for row in reader]
        names = reader.fieldnames or ()
    missing = [column for column in columns if column not in names]
    if missing:
        raise DataError(f"{path_text(file)}, line 1: the header lacks {', '.join(missing)}; add the column, or give "
                        "--groups FILE with the columns 'path,group' or 'identity,group'")
    for number, row in rows:
        yield number, {**dict.fromkeys(columns, ""), **row}
