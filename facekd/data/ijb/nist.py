"""IJB-B and IJB-C in NIST's format: CSV files with one row per face: its template, its subject and its sighting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facekd.data.containers.path_list import abbreviate
from facekd.data.ijb.parsing import (
    ONE_RELEASE,
    TemplateRows,
    assign_subjects,
    read_integers,
    read_template_csv,
    template_indices,
)
from facekd.data.ijb.protocol import UNKNOWN_SUBJECT, Int64Array, TemplatePairs, TemplateProtocol
from facekd.errors import DataError
from facekd.text import path_text


@dataclass(frozen=True)
class Layout:
    """The file names of one release.

    Attributes:
        galleries: the file of each gallery by the name of the gallery.
        probes: the file of the other templates.
        matches: the file of the pairs, two template numbers per line, no header; None if the release has no 1:1.
        has_identification: whether the release has 1:N, so that the probes are searched in the galleries.
    """

    galleries: Mapping[str, str]
    probes: str
    matches: str | None
    has_identification: bool = True


LAYOUTS = (
    Layout({"S1": "ijbb_1N_gallery_S1.csv", "S2": "ijbb_1N_gallery_S2.csv"}, "ijbb_1N_probe_mixed.csv",
           "ijbb_11_S1_S2_matches.csv"),
    Layout({"G1": "ijbc_1N_gallery_G1.csv", "G2": "ijbc_1N_gallery_G2.csv"}, "ijbc_1N_probe_mixed.csv",
           "ijbc_11_G1_G2_matches.csv"),
    Layout({"enroll": "enroll_templates.csv"}, "verif_templates.csv", "match.csv", has_identification=False),
    Layout({"G1": "gallery_G1.csv", "G2": "gallery_G2.csv"}, "probes.csv", None),
)
"""IJB-B; IJB-C; and, from the later release of IJB-C, the folders test1 (1:1) and test4 (1:N)."""


def read_nist(folder: Path, layout: Layout) -> TemplateProtocol:
    """Read NIST's CSV files. The face images are the rows of the galleries, in order, and then those of the probes.

    A row has TEMPLATE_ID, SUBJECT_ID, FILENAME (or FILE) and SIGHTING_ID. Rows of one template with the same sighting
    are frames of one video. Without that column every image is a medium of its own, and a note states that.

    Args:
        folder: the folder of the files.
        layout: the names of the files.

    Raises:
        DataError: lines are malformed, or the files do not belong together.
    """
    files = _find_files(folder, layout)
    rows_of_files = [read_template_csv(folder / name, ("template", "subject", "name")) for name in files]
    templates_of_files = [np.unique(rows.templates) for rows in rows_of_files]
    ids = _merge_ids(folder, files, templates_of_files)
    template_index = np.searchsorted(ids, np.concatenate([rows.templates for rows in rows_of_files]))
    subjects = np.full(len(ids), UNKNOWN_SUBJECT, np.int64)
    assign_subjects(ids, subjects, template_index, [subject for rows in rows_of_files for subject in rows.subjects],
                    folder)
    notes: list[str] = []
    media = _read_media(rows_of_files, notes)
    pairs = None
    if layout.matches and (folder / layout.matches).exists():
        pairs = _read_matches(folder / layout.matches, folder, ids, subjects)
    else:
        notes.append(f"1:1 is not given: {layout.matches or 'a list of matches'} is absent")
    galleries: dict[str, Int64Array] = {}
    probes = np.empty(0, np.int64)
    if layout.has_identification:
        *gallery_indices, probes = (np.searchsorted(ids, templates) for templates in templates_of_files)
        galleries = dict(zip(layout.galleries, gallery_indices, strict=True))
    else:
        notes.append(f"1:N is not given: {layout.probes} is for 1:1")
    names = [name for rows in rows_of_files for name in rows.names]
    return TemplateProtocol(folder, names, template_index, media, None, ids, subjects, pairs, galleries, probes,
                            tuple(notes))


def _find_files(folder: Path, layout: Layout) -> list[str]:
    """Return the names of the gallery files and of the probe file, after a check that no required file is absent."""
    files = [*layout.galleries.values(), layout.probes]
    required = list(files)
    if layout.matches and not layout.has_identification:
        required.append(layout.matches)
    absent = [name for name in required if not (folder / name).exists()]
    if absent:
        raise DataError(f"{path_text(folder)} lacks {', '.join(absent)}; restore the release as it was published")
    return files


def _merge_ids(folder: Path, files: list[str], templates_of_files: list[Int64Array]) -> Int64Array:
    """Return the template numbers of all files, ascending; no two files may have a template in common."""
    ids, num_files = np.unique(np.concatenate(templates_of_files), return_counts=True)
    shared = [str(template) for template in ids[num_files > 1].tolist()]
    if shared:
        raise DataError(f"{path_text(folder)}: template {abbreviate(shared)} is in several of {', '.join(files)}; "
                        f"{ONE_RELEASE}")
    return ids


def _read_media(rows_of_files: list[TemplateRows], notes: list[str]) -> Int64Array:
    """Return the medium of each image: int64 [images]; append a note if images have no sighting."""
    sightings = [sighting for rows in rows_of_files for sighting in rows.sightings or [""] * len(rows.names)]
    if "" in sightings:
        notes.append(f"{sightings.count('')} of {len(sightings)} images have no SIGHTING_ID: each counts as a medium "
                     "of its own, although some may be frames of one video")
    _, media = np.unique([sighting or f"row {row}" for row, sighting in enumerate(sightings)], return_inverse=True)
    return media.astype(np.int64)


def _read_matches(path: Path, folder: Path, ids: Int64Array, subjects: Int64Array) -> TemplatePairs:
    numbers = read_integers(path, 2, ",")
    first, second = (template_indices(ids, numbers[:, column], path, folder) for column in (0, 1))
    return TemplatePairs(path, first, second, subjects[first] == subjects[second])
