"""IJB-B and IJB-C as NIST hands them out: CSV files with a row a face, its template, its subject and its sighting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facekd.data.containers.path_list import some
from facekd.data.ijb.parsing import ONE_RELEASE, indices_of, read_numbers, read_template_csv, set_subjects
from facekd.data.ijb.protocol import UNKNOWN, Ints, TemplatePairs, TemplateProtocol
from facekd.errors import DataError


@dataclass(frozen=True)
class Layout:
    """The names of the files of one release.

    Attributes:
        galleries: by what the gallery is called.
        probes: the other templates.
        matches: pairs of templates, two numbers a line, no header; None where the release has no 1:1 here.
        search: whether the galleries are there to be searched.
    """

    galleries: Mapping[str, str]
    probes: str
    matches: str | None
    search: bool = True


LAYOUTS = (
    Layout({"S1": "ijbb_1N_gallery_S1.csv", "S2": "ijbb_1N_gallery_S2.csv"}, "ijbb_1N_probe_mixed.csv",
           "ijbb_11_S1_S2_matches.csv"),
    Layout({"G1": "ijbc_1N_gallery_G1.csv", "G2": "ijbc_1N_gallery_G2.csv"}, "ijbc_1N_probe_mixed.csv",
           "ijbc_11_G1_G2_matches.csv"),
    Layout({"enroll": "enroll_templates.csv"}, "verif_templates.csv", "match.csv", search=False),
    Layout({"G1": "gallery_G1.csv", "G2": "gallery_G2.csv"}, "probes.csv", None),
)
"""IJB-B; IJB-C; and, of IJB-C's later release, the folders test1 (1:1) and test4 (1:N)."""


def read_nist(folder: Path, layout: Layout) -> TemplateProtocol:
    """Read NIST's CSV files; the face images are the rows of the galleries, in order, and then of the probes.

    A row names TEMPLATE_ID, SUBJECT_ID, FILENAME (or FILE) and SIGHTING_ID. Rows of one template with one sighting are
    frames of one video; where that column is absent, every image is a medium of its own, and a note says so.

    Args:
        folder: where the files lie.
        layout: how they are called.

    Raises:
        DataError: lines are wrong, or files do not fit together.
    """
    files = [*layout.galleries.values(), layout.probes]
    needed = [*files, *([] if layout.search or not layout.matches else [layout.matches])]
    absent = [name for name in needed if not (folder / name).exists()]
    if absent:
        raise DataError(f"{folder} lacks {', '.join(absent)}; restore the release as it was published")
    parts = [read_template_csv(folder / name, ("template", "subject", "name")) for name in files]
    sets = [np.unique(rows.template) for rows in parts]
    ids, files_with = np.unique(np.concatenate(sets), return_counts=True)
    shared = [str(name) for name in ids[files_with > 1].tolist()]
    if shared:
        raise DataError(f"{folder}: template {some(shared)} is in several of {', '.join(files)}; {ONE_RELEASE}")
    template = np.searchsorted(ids, np.concatenate([rows.template for rows in parts]))
    subjects = np.full(len(ids), UNKNOWN, np.int64)
    set_subjects(ids, subjects, template, [subject for rows in parts for subject in rows.subject], folder)
    names = [name for rows in parts for name in rows.name]
    sightings = [sighting for rows in parts for sighting in rows.sighting or [""] * len(rows.name)]
    notes = []
    if "" in sightings:
        notes.append(f"{sightings.count('')} of {len(names)} images have no SIGHTING_ID: each counts as a medium of "
                     "its own, although some may be frames of one video")
    _, media = np.unique([sighting or f"row {row}" for row, sighting in enumerate(sightings)], return_inverse=True)
    pairs = None
    if layout.matches and (folder / layout.matches).exists():
        pairs = _read_matches(folder / layout.matches, folder, ids, subjects)
    else:
        notes.append(f"1:1 is not given: {layout.matches or 'a list of matches'} is absent")
    if not layout.search:
        notes.append(f"1:N is not given: {layout.probes} is for 1:1")
    places = [np.searchsorted(ids, own) for own in sets] if layout.search else []
    return TemplateProtocol(
        folder, names, template, media, None, ids, subjects, pairs, dict(zip(layout.galleries, places, strict=False)),
        places[-1] if places else np.empty(0, np.int64), tuple(notes),
    )


def _read_matches(path: Path, folder: Path, ids: Ints, subjects: Ints) -> TemplatePairs:
    numbers = read_numbers(path, 2, ",")
    first, second = (indices_of(ids, numbers[:, column], path, folder) for column in (0, 1))
    return TemplatePairs(path, first, second, subjects[first] == subjects[second])
