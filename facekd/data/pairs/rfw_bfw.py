"""Two published pair lists with groups: RFW (Wang et al., ICCV 2019) and BFW (Robinson et al., CVPRW 2020)."""

from __future__ import annotations

import os
from pathlib import Path

from facekd.data.containers.path_list import leads_outside
from facekd.data.pairs.groups import GroupedPairs, read_rows
from facekd.data.pairs.pair_set import build_pair_set
from facekd.data.problems import join_first, raise_if_any
from facekd.errors import DataError
from facekd.io.reading import parse_whole_number, read_text
from facekd.text import path_text

RFW_FOLD = 600
"""Lines of a fold in a list of RFW: 300 genuine pairs, then 300 impostor pairs."""
BFW_COLUMNS = ("fold", "p1", "p2", "label", "att1", "att2")
_Row = tuple[Path, Path, bool, int, str, str]
"""First image, second image, same, fold, and the groups of both."""


def find_rfw_lists(folder: Path) -> list[Path]:
    """Return the lists of RFW in a folder, ``txts/RACE/RACE_pairs.txt``; empty if there are none."""
    return sorted(folder.glob("txts/*/*_pairs.txt"))


def read_rfw(folder: Path) -> GroupedPairs:
    """Read RFW: ``txts/RACE/RACE_pairs.txt`` and ``data/RACE/PERSON/PERSON_0001.jpg``.

    The lists have no header and their columns are separated by tabs: ``person i j`` is a genuine pair, and
    ``person1 i person2 j`` an impostor pair.

    Args:
        folder: the folder with ``txts`` and ``data``, e.g. ``test``. Photographs must be aligned first.

    Raises:
        DataError: there are no lists, or a line or an image is wrong.
    """
    lists = find_rfw_lists(folder)
    if not lists:
        raise DataError(f"{path_text(folder)} holds no lists of RFW, txts/RACE/RACE_pairs.txt; give the folder that "
                        "holds txts and data, or a pair list")
    rows: list[_Row] = []
    for file in lists:
        race = file.parent.name
        problems = []
        lines = [line.split("\t") for line in read_text(file).splitlines() if line.strip()]
        for number, words in enumerate(lines, 1):
            first, second = (parse_whole_number(words[column].strip()) for column in (1, -1)) if len(words) in (
                3, 4) else (None, None)
            if first is None or second is None or leads_outside(words[0]) or leads_outside(words[-2]):
                problems.append(f"line {number}: 'person i j' or 'person1 i person2 j' with tabs is expected here")
                continue
            other = words[0] if len(words) == 3 else words[2]
            images = [folder / "data" / race / name / f"{name}_{image:04d}.jpg"
                      for name, image in ((words[0], first), (other, second))]
            rows.append((images[0], images[1], len(words) == 3, (number - 1) // RFW_FOLD + 1, race, race))
        raise_if_any(file, problems, "restore the file")
    return _build(folder, rows)


def is_bfw(file: Path) -> bool:
    """Return whether a file is the table of BFW, by its header."""
    header = read_text(file).partition("\n")[0].strip().split(",")
    return set(BFW_COLUMNS) <= set(header)


def read_bfw(file: Path, images: Path) -> GroupedPairs:
    """Read the table of BFW, ``bfw-v0.1.5-datatable.csv``: ``fold,p1,p2,label,id1,id2,att1,att2,...``.

    Args:
        file: the table. Its other columns, scores of published models among them, are not read.
        images: the folder to which ``p1`` and ``p2`` are relative, e.g. of ``asian_females/n000009/0010_01.jpg``.

    Raises:
        DataError: a column is missing, or a line or an image is wrong.
    """
    rows: list[_Row] = []
    problems = []
    for number, row in read_rows(file, BFW_COLUMNS):
        fold, label = parse_whole_number(row["fold"].strip()), row["label"].strip()
        if leads_outside(row["p1"]) or leads_outside(row["p2"]):
            problems.append(f"line {number}: p1 and p2 must be paths below the folder of the images")
        elif fold is None or label not in ("0", "1", "0.0", "1.0"):
            problems.append(f"line {number}: fold must be a whole number and label 0 or 1")
        else:
            rows.append((images / row["p1"], images / row["p2"], label[0] == "1", fold, row["att1"], row["att2"]))
    raise_if_any(file, problems, "restore the file")
    return _build(file, rows)


def _build(source: Path, rows: list[_Row]) -> GroupedPairs:
    if not rows:
        raise DataError(f"{path_text(source)} holds no pairs; check that it is complete")
    first, second, same, fold, group1, group2 = (list(column) for column in zip(*rows, strict=True))
    pairs = build_pair_set(source, first, second, same, fold)
    missing = [str(image) for image in pairs.images if isinstance(image, Path) and not os.path.isfile(image)]
    if missing:
        raise DataError(f"{len(missing)} of the {len(pairs.images)} images that {path_text(source)} names do not "
                        f"exist: {join_first(missing)}; check the folder of the images")
    groups = dict(zip([*first, *second], [*group1, *group2], strict=True))
    return GroupedPairs(pairs, [groups[image] for image in pairs.images])
