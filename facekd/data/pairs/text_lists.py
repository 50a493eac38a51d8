"""The two text formats for verification pairs: CSV and LFW's pairs.txt."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from facekd.data.pairs.pair_set import PairSet, build_pair_set, read_pair_file
from facekd.data.problems import join_first, raise_if_any
from facekd.errors import DataError

COLUMNS = ("fold", "path1", "path2", "same")
_EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
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
    reader = csv.DictReader(_read_text(pairs_file).splitlines())
    missing = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
    if missing:
        raise DataError(
            f"{pairs_file}, line 1: the header lacks {', '.join(missing)}; it must name the columns {','.join(COLUMNS)}"
        )
    rows: list[_Row] = []
    problems: list[str] = []
    for row in reader:
        fold = (row["fold"] or "").strip()
        same = (row["same"] or "").strip()
        if not row["path1"] or not row["path2"]:
            problems.append(f"line {reader.line_num}: a path is missing")
        elif not fold.isdecimal() or len(fold) > 9:
            problems.append(f"line {reader.line_num}: fold is {fold!r}, a whole number is needed")
        elif same not in ("0", "1"):
            problems.append(f"line {reader.line_num}: same is {same!r}, 0 or 1 is needed")
        else:
            rows.append((images_root / row["path1"], images_root / row["path2"], same == "1", int(fold)))
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
    lines = [line.split("\t") if "\t" in line else line.split() for line in _read_text(pairs_file).splitlines()]
    folds, matched = _parse_lfw_header(pairs_file, lines[0] if lines else [])
    rows: list[_Row] = []
    problems: list[str] = []
    pair_lines = [(number, words) for number, words in enumerate(lines[1:], 2) if words]
    for position, (number, words) in enumerate(pair_lines):
        same = position // matched % 2 == 0  # blocks of n matched and n mismatched pairs alternate
        if len(words) != (3 if same else 4) or not _are_integers(words[1], words[-1]):
            expected = "'name i j' (a matched pair)" if same else "'name1 i name2 j' (a mismatched pair)"
            problems.append(f"line {number}: {expected} is expected here")
            continue
        first = _lfw_path(images_root, words[0], int(words[1]))
        second = _lfw_path(images_root, words[0] if same else words[2], int(words[-1]))
        rows.append((first, second, same, position // (2 * matched) + 1))
    promised = 2 * folds * matched
    if len(pair_lines) != promised:
        problems.append(f"{len(pair_lines)} pairs where the first line promises {folds} x 2 x {matched} = {promised}")
    raise_if_any(pairs_file, problems, "correct the file")
    return _build(pairs_file, images_root, rows)


def _parse_lfw_header(pairs_file: Path, words: Sequence[str]) -> tuple[int, int]:
    """Return the number of folds and of matched pairs per fold."""
    if len(words) not in (1, 2) or not _are_integers(*words) or not all(map(int, words)):
        raise DataError(
            f"{pairs_file}, line 1: neither a CSV header ({','.join(COLUMNS)}) nor LFW's 'folds<TAB>pairs'; "
            "write the list in one of these two forms"
        )
    return (int(words[0]) if len(words) == 2 else 1), int(words[-1])


def _are_integers(*words: str) -> bool:
    return all(word.strip().isdecimal() for word in words)


def _lfw_path(root: Path, name: str, number: int) -> Path:
    """Return the image file of a person; if none exists, the path with the first extension."""
    stem = root / name / f"{name}_{number:04d}"
    candidates = [stem.with_name(stem.name + extension) for extension in _EXTENSIONS]
    return next((path for path in candidates if path.is_file()), candidates[0])


def _build(pairs_file: Path, images_root: Path, rows: Sequence[_Row]) -> PairSet:
    """Build the pairs, after a check that all images exist."""
    if not rows:
        raise DataError(f"{pairs_file} holds no pairs; check that the list is complete")
    if not images_root.is_dir():
        raise DataError(f"the folder {images_root} does not exist; give the one that {pairs_file}'s paths start from")
    first, second, same, fold = (list(column) for column in zip(*rows, strict=True))
    pairs = build_pair_set(pairs_file, first, second, same, fold)
    missing = [str(path) for path in pairs.images if isinstance(path, Path) and not path.is_file()]
    if missing:
        raise DataError(
            f"{len(missing)} of the {len(pairs.images)} images that {pairs_file} names do not exist: "
            f"{join_first(missing)}; check the images folder, or restore them"
        )
    return pairs


def _read_text(path: Path) -> str:
    try:
        return read_pair_file(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is no UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8") from error
