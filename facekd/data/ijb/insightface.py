"""IJB-B and IJB-C as InsightFace hands them out: a folder ``meta`` of text files about cropped faces."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from facekd.data.ijb.parsing import (
    AS_PUBLISHED,
    ONE_RELEASE,
    indices_of,
    opened,
    read_numbers,
    read_template_csv,
    refuse,
    set_subjects,
    whole,
)
from facekd.data.ijb.protocol import UNKNOWN, Ints, TemplatePairs, TemplateProtocol
from facekd.errors import DataError

SPLITS = {"ijbb": ("S1", "S2"), "ijbc": ("G1", "G2")}
PROBES = "probes"
SCORE = 11
"""The column of the detector's score, after the name and five landmarks."""


def read_insightface(folder: Path, prefix: str) -> TemplateProtocol:
    """Read ``PREFIX_face_tid_mid.txt`` (a line an image: name, template, media) and what lies beside it.

    ``PREFIX_name_5pts_score.txt``: a line an image: name, x and y of five landmarks, the detector's score.
    ``PREFIX_template_pair_label.txt``: a line a pair: two templates, 1 for one person or else 0; for 1:1.
    ``PREFIX_1N_gallery_*.csv`` (S1, S2 for ijbb; G1, G2 for ijbc), ``PREFIX_1N_probe_mixed.csv``: for 1:N.

    Args:
        folder: ``meta``.
        prefix: ``ijbb`` or ``ijbc``.

    Raises:
        DataError: lines are wrong, or files do not fit together.
    """
    images = folder / f"{prefix}_face_tid_mid.txt"
    names, numbers, media = _read_images(images)
    ids, template = np.unique(numbers, return_inverse=True)
    subjects = np.full(len(ids), UNKNOWN, np.int64)
    notes, scores, pairs, parts = [], None, None, {}
    file = folder / f"{prefix}_name_5pts_score.txt"
    if file.exists():
        scores = _read_scores(file, names, images)
    file = folder / f"{prefix}_template_pair_label.txt"
    if file.exists():
        pairs = _read_pairs(file, images, ids)
    else:
        notes.append(f"1:1 is not given: {file.name} is absent")
    searched = {split: folder / f"{prefix}_1N_gallery_{split}.csv" for split in SPLITS[prefix]}
    searched[PROBES] = folder / f"{prefix}_1N_probe_mixed.csv"
    absent = [file.name for file in searched.values() if not file.exists()]
    if not absent:
        parts = {part: _read_part(file, images, ids, subjects) for part, file in searched.items()}
    elif len(absent) == len(searched) and pairs:
        notes.append(f"1:N is not given: {', '.join(absent)} are absent")
    else:
        raise DataError(f"{folder} lacks {', '.join(absent)}; they are needed for 1:N, restore them")
    return TemplateProtocol(
        folder, names, template, media, scores, ids, subjects, pairs,
        {part: index for part, index in parts.items() if part != PROBES},
        parts.get(PROBES, np.empty(0, np.int64)), tuple(notes),
    )


def _read_images(path: Path) -> tuple[list[str], Ints, Ints]:
    names, template, media, problems = [], [], [], []
    with opened(path) as handle:
        for number, line in enumerate(handle, 1):
            words = line.split()
            if len(words) >= 3 and whole(words[1]) and whole(words[2]):
                names.append(words[0])
                template.append(int(words[1]))
                media.append(int(words[2]))
            elif words:
                problems.append(f"line {number}: 'name template media' is expected")
    refuse(path, problems)
    if not names:
        raise DataError(f"{path} holds no images; {AS_PUBLISHED}")
    return names, np.array(template, np.int64), np.array(media, np.int64)


def _read_scores(path: Path, names: list[str], images: Path) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """The detector's scores, after a look whether the two files list the same images."""
    scores, problems = [], []
    with opened(path) as handle:
        for number, line in enumerate(handle, 1):
            words = line.split()
            if not words:
                continue
            scores.append(_score(words))
            if scores[-1] is None:
                problems.append(f"line {number}: 'name x1 y1 ... x5 y5 score' is expected, the score 0 or more")
            elif len(scores) > len(names) or words[0] != names[len(scores) - 1]:
                expected = names[len(scores) - 1] if len(scores) <= len(names) else "no further line"
                problems.append(f"line {number}: {words[0]}, where {images.name} has {expected}")
    refuse(path, problems)
    if len(scores) < len(names):
        raise DataError(f"{path} lists {len(scores)} images, {images.name} {len(names)}; {ONE_RELEASE}")
    return np.array(scores, np.float32)


def _score(words: list[str]) -> float | None:
    try:
        score = float(words[SCORE])
    except (IndexError, ValueError):
        return None
    return score if math.isfinite(score) and score >= 0 else None


def _read_pairs(path: Path, images: Path, ids: Ints) -> TemplatePairs:
    numbers = read_numbers(path, 3, None)
    wrong = np.flatnonzero((numbers[:, 2] != 0) & (numbers[:, 2] != 1))
    if len(wrong):
        raise DataError(f"{path}: pair {wrong[0] + 1} and {len(wrong) - 1} more have a label other than 0 and 1; "
                        f"{AS_PUBLISHED}")
    first, second = (indices_of(ids, numbers[:, column], path, images) for column in (0, 1))
    return TemplatePairs(path, first, second, numbers[:, 2] == 1)


def _read_part(path: Path, images: Path, ids: Ints, subjects: Ints) -> Ints:
    """The templates of a gallery or of the probes; what the file says of their subjects goes into ``subjects``."""
    rows = read_template_csv(path, ("template", "subject"))
    template = indices_of(ids, np.array(rows.template), path, images)
    set_subjects(ids, subjects, template, rows.subject, path)
    return np.unique(template).astype(np.int64)
