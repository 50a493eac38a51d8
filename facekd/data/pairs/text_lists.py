"""The two text formats for verification pairs: CSV and LFW's pairs.txt."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Sequence
from pathlib import Path

from facekd.data.containers.path_list import leads_outside
from facekd.data.pairs.pair_set import PairSet, build_pair_set, read_pair_file
from facekd.data.problems import join_first, raise_if_any
from facekd.errors import DataError
from facekd.io.reading import parse_whole_number, reading
from facekd.text import path_text, short_repr

COLUMNS = ("fold", "path1", "path2", "same")
_EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
_LEADS_OUTSIDE = "a path is absolute or leads out of the folder of the images"
_LINE_END = re.compile(r"\r\n|\r|\n")  # str.splitlines also splits at control characters, which may be part of names
_Row = tuple[Path, Path, bool, int]
"""First image, second image, same, fold."""


def read_csv(pairs_file: Path, images_root: Path) -> PairSet:
    """Read pairs from a CSV file with the columns fold, path1, path2 and same (0 or 1), in any order.

    Args:
        pairs_file: UTF-8, with a header.
        images_root: the folder to which path1 and path2 are relative.

    Raises:
        DataError: columns or images are missing, or lines are malformed; the message names the first of them.
    """
    text = _read_text(pairs_file)
    with reading(pairs_file, kind="CSV", remedy="correct it"):
        reader = csv.DictReader(io.StringIO(text, newline=""))
        table = [(reader.line_num, row) for row in reader]
        columns = reader.fieldnames or ()
    missing = [column for column in COLUMNS if column not in columns]
    if missing:
        raise DataError(
            f"{path_text(pairs_file)}, line 1: the header lacks {', '.join(missing)}; it must name the columns "
            f"{','.join(COLUMNS)}"
        )
    rows: list[_Row] = []
    problems: list[str] = []
    for number, row in table:
        fold = parse_whole_number((row["fold"] or "").strip())
        same = (row["same"] or "").strip()
        first = row["path1"]
        second = row["path2"]
        if not first or not second:
            problems.append(f"line {number}: a path is missing")
        elif leads_outside(first) or leads_outside(second):
            problems.append(f"line {number}: {_LEADS_OUTSIDE}")
        elif fold is None:
            problems.append(f"line {number}: fold is {short_repr(row['fold'], 40)}, a whole number is needed")
        elif same not in ("0", "1"):
            problems.append(f"line {number}: same is {short_repr(same, 40)}, 0 or 1 is needed")
        else:
            rows.append((images_root / first, images_root / second, same == "1", fold))
    raise_if_any(pairs_file, problems, "correct these lines")
    return _build(pairs_file, images_root, rows)


def read_lfw(pairs_file: Path, images_root: Path) -> PairSet:
    """Read pairs in the format of LFW's pairs.txt.

    The first line contains the number of folds and the number n of matched pairs per fold (or n alone: one fold). Every
    fold has n lines ``name i j`` and n lines ``name1 i name2 j``; image i is ``name/name_000i.jpg`` (or .png etc.).

    Args:
        pairs_file: pairs.txt, pairsDevTest.txt or another list in this format.
        images_root: the folder with one subfolder per name.

    Raises:
        DataError: the header, a line or the number of lines is wrong, or images are missing.
    """
    lines = [line.split("\t") if "\t" in line else line.split() for line in _LINE_END.split(_read_text(pairs_file))]
    folds, matched = _parse_lfw_header(pairs_file, lines[0] if lines else [])
    rows: list[_Row] = []
    problems: list[str] = []
    pair_lines = [(number, words) for number, words in enumerate(lines[1:], 2) if words]
    for position, (number, words) in enumerate(pair_lines):
        same = position // matched % 2 == 0  # blocks of n matched and n mismatched pairs alternate
        first_image, second_image = (_whole_number(words[column]) if len(words) > 1 else None for column in (1, -1))
        if len(words) != (3 if same else 4) or first_image is None or second_image is None:
            expected = "'name i j' (a matched pair)" if same else "'name1 i name2 j' (a mismatched pair)"
            problems.append(f"line {number}: {expected} is expected here")
        elif leads_outside(words[0]) or leads_outside(words[-2]):
            problems.append(f"line {number}: {_LEADS_OUTSIDE}")
        else:
            first = _lfw_path(images_root, words[0], first_image)
            second = _lfw_path(images_root, words[0] if same else words[2], second_image)
            rows.append((first, second, same, position // (2 * matched) + 1))
    promised = 2 * folds * matched
    if len(pair_lines) != promised:
        problems.append(f"{len(pair_lines)} pairs where the first line promises {folds} x 2 x {matched} = {promised}")
    raise_if_any(pairs_file, problems, "correct the file")
    return _build(pairs_file, images_root, rows)


def _parse_lfw_header(pairs_file: Path, words: Sequence[str]) -> tuple[int, int]:
    """Return the number of folds and of matched pairs per fold."""
    numbers = [number for word in words if (number := _whole_number(word))]
    if len(words) not in (1, 2) or len(numbers) != len(words):
        raise DataError(
            f"{path_text(pairs_file)}, line 1: neither a CSV header ({','.join(COLUMNS)}) nor LFW's 'folds<TAB>pairs'; "
            "write the list in one of these two forms"
        )
    return (numbers[0] if len(numbers) == 2 else 1), numbers[-1]


def _whole_number(word: str) -> int | None:
    return parse_whole_number(word.strip())


def _lfw_path(root: Path, name: str, number: int) -> Path:
    """Return the image file of a person; if none exists, the path with the first extension."""
    stem = root / name / f"{name}_{number:04d}"
    candidates = [stem.with_name(stem.name + extension) for extension in _EXTENSIONS]
    return next((path for path in candidates if os.path.isfile(path)), candidates[0])


def _build(pairs_file: Path, images_root: Path, rows: Sequence[_Row]) -> PairSet:
    """Build the pairs, after a check that all images exist."""
    if not rows:
        raise DataError(f"{path_text(pairs_file)} holds no pairs; check that the list is complete")
    if not os.path.isdir(images_root):
        raise DataError(f"the folder {path_text(images_root)} does not exist; give the one that the paths in "
                        f"{path_text(pairs_file)} start from")
    first, second, same, fold = (list(column) for column in zip(*rows, strict=True))
    pairs = build_pair_set(pairs_file, first, second, same, fold)
    missing = [str(path) for path in pairs.images if isinstance(path, Path) and not os.path.isfile(path)]
    if missing:
        raise DataError(
            f"{len(missing)} of the {len(pairs.images)} images that {path_text(pairs_file)} names do not exist: "
            f"{join_first(missing)}; check the images folder, or restore them"
        )
    return pairs


def _read_text(path: Path) -> str:
    """Return the text of a list; names that are not UTF-8 become what Python makes of such file names."""
    text = read_pair_file(path).decode("utf-8-sig", "surrogateescape")
    if "\0" in text:
        raise DataError(f"{path_text(path)} is no UTF-8 text, it holds zero bytes; save it as UTF-8")
    return text
