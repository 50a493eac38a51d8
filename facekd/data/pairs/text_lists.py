"""The two kinds of text file that hold verification pairs: CSV and LFW's pairs.txt."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from facekd.data.pairs.pair_set import PairSet, content_of, paired
from facekd.errors import DataError

COLUMNS = ("fold", "path1", "path2", "same")
ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
SHOWN = 5
"""Problems and missing images an error names; it counts the rest."""


_Row = tuple[Path, Path, bool, int]
"""First image, second image, same, fold."""


def read_csv(pairs_file: Path, images_root: Path) -> PairSet:
    """Read pairs from a CSV file with the columns fold, path1, path2 and same (0 or 1), in any order.

    Args:
        pairs_file: UTF-8, with a header.
        images_root: the folder that path1 and path2 start from.

    Raises:
        DataError: columns or images are missing, or a line is wrong; the first problems are named by line.
    """
    reader = csv.DictReader(_text(pairs_file).splitlines())
    missing = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
    if missing:
        raise DataError(
            f"{pairs_file}, line 1: the header lacks {', '.join(missing)}; it must name the columns {','.join(COLUMNS)}"
        )
    rows: list[_Row] = []
    problems: list[str] = []
    for row in reader:
        fold, same = (row["fold"] or "").strip(), (row["same"] or "").strip()
        if not row["path1"] or not row["path2"]:
            problems.append(f"line {reader.line_num}: a path is missing")
        elif not fold.isdecimal() or len(fold) > 9:
            problems.append(f"line {reader.line_num}: fold is {fold!r}, a whole number is needed")
        elif same not in ("0", "1"):
            problems.append(f"line {reader.line_num}: same is {same!r}, 0 or 1 is needed")
        else:
            rows.append((images_root / row["path1"], images_root / row["path2"], same == "1", int(fold)))
    _refuse(pairs_file, problems, "correct these lines")
    return _of_files(pairs_file, images_root, rows)


def read_lfw(pairs_file: Path, images_root: Path) -> PairSet:
    """Read pairs in the form of LFW's pairs.txt.

    The first line holds the number of folds and the number n of matched pairs in each (or n alone: one fold). Every
    fold is n lines ``name i j`` and n lines ``name1 i name2 j``; image i is ``name/name_000i.jpg`` (or .png and so on).

    Args:
        pairs_file: pairs.txt, pairsDevTest.txt or a list of your own in this form.
        images_root: the folder with one subfolder a name.

    Raises:
        DataError: the header, a line or the number of lines is wrong, or images are missing.
    """
    lines = [line.split("\t") if "\t" in line else line.split() for line in _text(pairs_file).splitlines()]
    header = lines[0] if lines else []
    if len(header) not in (1, 2) or not all(word.strip().isdecimal() and int(word) for word in header):
        raise DataError(
            f"{pairs_file}, line 1: neither a CSV header ({','.join(COLUMNS)}) nor LFW's 'folds<TAB>pairs'; "
            "write the list in one of these two forms"
        )
    folds, matched = (int(header[0]), int(header[1])) if len(header) == 2 else (1, int(header[0]))
    rows: list[_Row] = []
    problems: list[str] = []
    body = [(number, words) for number, words in enumerate(lines[1:], 2) if words]
    for position, (number, words) in enumerate(body):
        same = position // matched % 2 == 0
        if len(words) != (3 if same else 4) or not all(word.strip().isdecimal() for word in (words[1], words[-1])):
            form = "'name i j' (a matched pair)" if same else "'name1 i name2 j' (a mismatched pair)"
            problems.append(f"line {number}: {form} is expected here")
            continue
        other = words[0] if same else words[2]
        paths = (_lfw_path(images_root, words[0], int(words[1])), _lfw_path(images_root, other, int(words[-1])))
        rows.append((*paths, same, position // (2 * matched) + 1))
    promised = 2 * folds * matched
    if len(body) != promised:
        problems.append(f"{len(body)} pairs where the first line promises {folds} x 2 x {matched} = {promised}")
    _refuse(pairs_file, problems, "correct the file")
    return _of_files(pairs_file, images_root, rows)


def _lfw_path(root: Path, name: str, number: int) -> Path:
    stem = root / name / f"{name}_{number:04d}"
    tries = [stem.with_name(stem.name + ending) for ending in ENDINGS]
    return next((path for path in tries if path.is_file()), tries[0])


def _of_files(pairs_file: Path, images_root: Path, rows: Sequence[_Row]) -> PairSet:
    """Pairs of files, after a look whether all of them are there."""
    if not rows:
        raise DataError(f"{pairs_file} holds no pairs; check that the list is complete")
    if not images_root.is_dir():
        raise DataError(f"the folder {images_root} does not exist; give the one that {pairs_file}'s paths start from")
    first, second, same, fold = (list(column) for column in zip(*rows, strict=True))
    pairs = paired(pairs_file, first, second, same, fold)
    absent = [str(path) for path in pairs.images if isinstance(path, Path) and not path.is_file()]
    if absent:
        raise DataError(
            f"{len(absent)} of the {len(pairs.images)} images that {pairs_file} names do not exist: {_listed(absent)}; "
            "check the images folder, or restore them"
        )
    return pairs


def _listed(items: Sequence[str]) -> str:
    """The first few of many, and how many more there are."""
    more = f" and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
    return "; ".join(items[:SHOWN]) + more


def _text(path: Path) -> str:
    try:
        return content_of(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is no UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8") from error


def _refuse(path: Path, problems: Sequence[str], advice: str) -> None:
    if problems:
        raise DataError(f"{path} has {len(problems)} problems: {_listed(problems)}; {advice}")
