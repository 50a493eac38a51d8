"""IJB-B and IJB-C in InsightFace's format: a folder ``meta`` of text files about cropped faces."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facekd.data.ijb.parsing import (
    AS_PUBLISHED,
    ONE_RELEASE,
    assign_subjects,
    open_text,
    parse_int32,
    read_integers,
    read_template_csv,
    template_indices,
)
from facekd.data.ijb.protocol import UNKNOWN_SUBJECT, Int64Array, TemplatePairs, TemplateProtocol
from facekd.data.problems import raise_if_any
from facekd.errors import DataError
from facekd.text import path_text, shorten

SPLITS = {"ijbb": ("S1", "S2"), "ijbc": ("G1", "G2")}
"""The prefix of the file names, and the names of the two galleries."""
_SCORE_COLUMN = 11
"""The column of the detection score, after the name and five landmarks."""


def read_insightface(folder: Path, prefix: str) -> TemplateProtocol:
    """Read ``PREFIX_face_tid_mid.txt`` (one line per image: name, template, media) and the files that accompany it.

    - ``PREFIX_name_5pts_score.txt``, one line per image: name, x and y of five landmarks, detection score.
    - ``PREFIX_template_pair_label.txt`` for 1:1, one line per pair: two templates, and 1 for the same person, else 0.
    - ``PREFIX_1N_gallery_*.csv`` (S1, S2 for ijbb; G1, G2 for ijbc) and ``PREFIX_1N_probe_mixed.csv`` for 1:N.

    Args:
        folder: the folder ``meta``.
        prefix: ``ijbb`` or ``ijbc``.

    Raises:
        DataError: lines are malformed, or the files do not belong together.
    """
    images_file = folder / f"{prefix}_face_tid_mid.txt"
    names, template_numbers, media = _read_images(images_file)
    ids, template_index = np.unique(template_numbers, return_inverse=True)
    subjects = np.full(len(ids), UNKNOWN_SUBJECT, np.int64)
    notes = []
    scores_file = folder / f"{prefix}_name_5pts_score.txt"
    scores = _read_scores(scores_file, names, images_file) if scores_file.exists() else None
    pairs = None
    pairs_file = folder / f"{prefix}_template_pair_label.txt"
    if pairs_file.exists():
        pairs = _read_pairs(pairs_file, images_file, ids)
    else:
        notes.append(f"1:1 is not given: {pairs_file.name} is absent")
    gallery_files = {split: folder / f"{prefix}_1N_gallery_{split}.csv" for split in SPLITS[prefix]}
    probes_file = folder / f"{prefix}_1N_probe_mixed.csv"
    galleries: dict[str, Int64Array] = {}
    probes = np.empty(0, np.int64)
    files = [*gallery_files.values(), probes_file]
    absent = [file.name for file in files if not file.exists()]
    if not absent:
        galleries = {split: _read_templates(file, images_file, ids, subjects) for split, file in gallery_files.items()}
        probes = _read_templates(probes_file, images_file, ids, subjects)
    elif len(absent) == len(files) and pairs:
        notes.append(f"1:N is not given: {', '.join(absent)} are absent")
    else:
        raise DataError(f"{path_text(folder)} lacks {', '.join(absent)}; they are needed for 1:N, restore them")
    return TemplateProtocol(folder, names, template_index, media, scores, ids, subjects, pairs, galleries, probes,
                            tuple(notes))


def _read_images(path: Path) -> tuple[list[str], Int64Array, Int64Array]:
    """Return the name, the template number and the medium of every image."""
    names = []
    templates = []
    media = []
    problems = []
    with open_text(path) as handle:
        for number, line in enumerate(handle, 1):
            words = line.split()
            template, medium = map(parse_int32, words[1:3]) if len(words) >= 3 else (None, None)
            if template is not None and medium is not None:
                names.append(words[0])
                templates.append(template)
                media.append(medium)
            elif words:
                problems.append(f"line {number}: 'name template media' is expected")
    raise_if_any(path, problems, AS_PUBLISHED)
    if not names:
        raise DataError(f"{path_text(path)} holds no images; {AS_PUBLISHED}")
    return names, np.array(templates, np.int64), np.array(media, np.int64)


def _read_scores(path: Path, names: list[str], images_file: Path) -> NDArray[np.float32]:
    """Return the detection score of every image, after a check that both files list the same images."""
    scores = []
    problems = []
    with open_text(path) as handle:
        for number, line in enumerate(handle, 1):
            words = line.split()
            if not words:
                continue
            score = _parse_score(words)
            scores.append(score)
            expected_name = names[len(scores) - 1] if len(scores) <= len(names) else None
            if score is None:
                problems.append(f"line {number}: 'name x1 y1 ... x5 y5 score' is expected, the score 0 or more")
            elif words[0] != expected_name:
                expected = shorten(expected_name or "no further line", 30)
                problems.append(f"line {number}: {shorten(words[0], 30)} instead of {expected}")
    raise_if_any(path, problems, f"{AS_PUBLISHED}, with that of {images_file.name}")
    if len(scores) < len(names):
        raise DataError(f"{path_text(path)} lists {len(scores)} images, {images_file.name} {len(names)}; {ONE_RELEASE}")
    return np.array(scores, np.float32)


def _parse_score(words: list[str]) -> float | None:
    """Return the score in a line, None if the line is malformed."""
    try:
        score = float(words[_SCORE_COLUMN])
    except (IndexError, ValueError):
        return None
    return score if math.isfinite(score) and score >= 0 else None


def _read_pairs(path: Path, images_file: Path, ids: Int64Array) -> TemplatePairs:
    numbers = read_integers(path, 3, None)
    wrong = np.flatnonzero((numbers[:, 2] != 0) & (numbers[:, 2] != 1))
    if len(wrong):
        raise DataError(f"{path_text(path)}: pair {wrong[0] + 1} and {len(wrong) - 1} more have a label other than 0 "
                        f"and 1; {AS_PUBLISHED}")
    first, second = (template_indices(ids, numbers[:, column], path, images_file) for column in (0, 1))
    return TemplatePairs(path, first, second, numbers[:, 2] == 1)


def _read_templates(path: Path, images_file: Path, ids: Int64Array, subjects: Int64Array) -> Int64Array:
    """Return the templates of a gallery or of the probes, as indices into ``ids``; set their ``subjects``."""
    rows = read_template_csv(path, ("template", "subject"))
    templates = template_indices(ids, np.array(rows.templates), path, images_file)
    assign_subjects(ids, subjects, templates, rows.subjects, path)
    return np.unique(templates).astype(np.int64)
