"""Find the evaluation sets in a folder by the file names that their authors and InsightFace use."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from facekd.data.containers.path_list import abbreviate
from facekd.data.evaluation_set import EvaluationSet, list_folder
from facekd.data.folder_contents import FolderContents, list_contents
from facekd.data.ijb.nist import LAYOUTS
from facekd.data.ijb.opening import SUBFOLDERS
from facekd.data.megaface import noise_lists
from facekd.errors import DataError
from facekd.text import path_text


class _PairSetNames(NamedTuple):
    """The names of a well-known pair list: in tables, of its .bin file and results, and of its list next to images."""

    title: str
    name: str
    list_stem: str


PAIR_SETS = {
    "lfw": _PairSetNames("LFW", "lfw", "pairs"),
    "cfpff": _PairSetNames("CFP-FF", "cfp_ff", "pairs_ff"),
    "cfpfp": _PairSetNames("CFP-FP", "cfp_fp", "pairs_fp"),
    "agedb30": _PairSetNames("AgeDB-30", "agedb_30", "pairs"),
    "calfw": _PairSetNames("CALFW", "calfw", "pairs"),
    "cplfw": _PairSetNames("CPLFW", "cplfw", "pairs"),
}
"""The well-known pair lists, by their names in lower case without separators (see `_normalized_name`)."""
PAIR_LIST = re.compile(r"pairs(.*)\.(?:csv|txt)", re.IGNORECASE)
_PAIR_SUFFIXES = (".bin", ".csv", ".txt")
MEGAFACE_KIT = {"probes": "facescrub_images", "distractors": "megaface_images", "template_lists": "templatelists"}
MEGAFACE_FACE_SETS = {"probes": "probes", "distractors": "distractors"}
IJB_FILES = {
    "ijbb": ("IJB-B", ("ijbb_face_tid_mid.txt", LAYOUTS[0].probes)),
    "ijbc": ("IJB-C", ("ijbc_face_tid_mid.txt", *(layout.probes for layout in LAYOUTS[1:]))),
}

_NOISE = "noise"
_KNOWN_NAMES = frozenset({
    *MEGAFACE_KIT.values(), *MEGAFACE_FACE_SETS.values(), _NOISE, noise_lists.PROBES, noise_lists.DISTRACTORS,
    *SUBFOLDERS, *(file for _, files in IJB_FILES.values() for file in files),
})


class _PairFile(NamedTuple):
    """A .bin file (``images`` is None), or a pair list with the folder of its images."""

    name: str
    path: Path
    images: Path | None


def find_evaluation_sets(folder: Path) -> tuple[list[EvaluationSet], list[str]]:
    """Find evaluation sets in a folder and in its direct subfolders.

    - LFW, CFP-FF, CFP-FP, AgeDB-30, CALFW, CPLFW: InsightFace's ``lfw.bin``, ``cfp_fp.bin``, ...; or a folder of images
      that contains its pair list: ``lfw/pairs.txt``, ``cfp/pairs_fp.csv``, ... Case and ``-``, ``_`` are ignored.
    - MegaFace: ``facescrub_images``, ``megaface_images`` and ``templatelists``, in one folder or in several; or the
      face sets ``probes`` and ``distractors`` in one folder. The noise lists are taken from these folders or from
      ``noise``.
    - IJB-B, IJB-C: a folder that `facekd.data.ijb.opening.open_ijb` reads.
    - Every other ``.bin`` file directly in the folder that is a pickle, and every other ``pairs*.csv`` or
      ``pairs*.txt`` next to its images, under its own name.

    If a set exists in several forms, one is used: ``.bin`` before lists, the folder before its subfolders, CSV before
    text.

    Returns:
        The well-known sets in this order, found or missing, then the others; and notes on files that were ignored.

    Raises:
        DataError: the folder does not exist or cannot be listed.
    """
    if not os.path.isdir(folder):
        raise DataError(f"{path_text(folder)} is not a folder; give the one that holds the evaluation sets")
    folders = [_list(folder)]
    unreadable = []
    for item in list_folder(folder):
        if item.is_dir() and not item.name.startswith("."):
            if os.access(item, os.R_OK | os.X_OK):
                folders.append(_list(item))
            else:
                unreadable.append(item.name)
    pair_sets, other_bins = _find_pair_sets(folders)
    well_known = [pair_sets.get(key) or _missing_pairs(names) for key, names in PAIR_SETS.items()]
    custom = [pair_set for key, pair_set in pair_sets.items() if key not in PAIR_SETS]
    ijb = [_find_ijb(folders, name) for name in IJB_FILES]
    reasons = (("cannot be listed", unreadable), ("are not verification sets of InsightFace", other_bins))
    notes = [f"ignored, because they {reason}: {abbreviate(names)}" for reason, names in reasons if names]
    return [*well_known, _find_megaface(folders), *ijb, *custom], notes


def _list(folder: Path) -> FolderContents:
    return list_contents(folder, _PAIR_SUFFIXES, _KNOWN_NAMES)


def _find_pair_sets(folders: Sequence[FolderContents]) -> tuple[dict[str, EvaluationSet], list[str]]:
    """Return every pair set by its normalized name, and the .bin files that are not pair sets."""
    candidates: dict[str, list[_PairFile]] = {}
    other_bins = []
    for number, folder in enumerate(folders):
        folder_name = Path(os.path.abspath(folder.path)).name
        for file in folder.files:
            if match := PAIR_LIST.fullmatch(file.name):
                variant = match[1].strip(" _-.")
                name = f"{folder_name}-{variant}" if variant else folder_name
                candidates.setdefault(_normalized_name(name), []).append(_PairFile(name, file, folder.path))
            elif file.suffix.lower() == ".bin":
                key = _normalized_name(file.stem)
                if key in PAIR_SETS or (number == 0 and _is_pickle(file)):
                    candidates.setdefault(key, []).append(_PairFile(file.stem, file, None))
                elif number == 0:
                    other_bins.append(file.name)
    return {key: _pair_set(key, files) for key, files in candidates.items()}, other_bins


def _pair_set(key: str, files: Sequence[_PairFile]) -> EvaluationSet:
    """Choose the first .bin file, or else the first list; the other files are alternatives."""
    chosen = min(files, key=lambda file: file.images is not None)
    title, name, _ = PAIR_SETS.get(key, _PairSetNames(chosen.name, chosen.name, ""))
    inputs = {"pairs": chosen.path}
    if chosen.images:
        inputs["images"] = chosen.images
    return EvaluationSet(title, name, "verify", inputs, [file.path for file in files if file.path != chosen.path])


def _missing_pairs(names: _PairSetNames) -> EvaluationSet:
    folder = names.name if names.list_stem == "pairs" else names.name.partition("_")[0]
    lists = f"{names.list_stem}.csv or {names.list_stem}.txt"
    missing = f"neither {names.name}.bin nor a folder {folder} of images with {lists} in it"
    return EvaluationSet(names.title, names.name, "verify", missing=missing)


def _find_megaface(folders: Sequence[FolderContents]) -> EvaluationSet:
    kit = _find_subfolders(folders, MEGAFACE_KIT)
    face_sets = [_find_subfolders([folder], MEGAFACE_FACE_SETS) for folder in folders]
    complete = [kit] if kit.keys() == MEGAFACE_KIT.keys() else []
    complete += [paths for paths in face_sets if paths.keys() == MEGAFACE_FACE_SETS.keys()]
    existing = list(dict.fromkeys(path for paths in (kit, *face_sets) for path in paths.values()))
    if not complete:
        missing = (
            f"neither {', '.join(MEGAFACE_KIT.values())} nor the face sets "
            f"{' and '.join(MEGAFACE_FACE_SETS.values())} in one folder"
        )
        if existing:
            names = [str(path.relative_to(folders[0].path)) for path in existing]
            missing += f"; there is {abbreviate(names)}"
        return EvaluationSet("MegaFace", "megaface", "megaface", missing=missing)
    inputs = dict(complete[0])
    noise_folders = [_list(path) for folder in folders if (path := folder.subfolder(_NOISE))]
    for folder in (*folders, *noise_folders):
        if folder.has_file(noise_lists.PROBES) and folder.has_file(noise_lists.DISTRACTORS):
            inputs["noise_lists"] = folder.path
            break
    alternatives = [path for path in existing if path not in inputs.values()]
    return EvaluationSet("MegaFace", "megaface", "megaface", inputs, alternatives)


def _find_subfolders(folders: Sequence[FolderContents], names: Mapping[str, str]) -> dict[str, Path]:
    """Return the path of each named subfolder that exists, from the first folder that contains it."""
    paths = {}
    for argument, name in names.items():
        if path := next((path for folder in folders if (path := folder.subfolder(name))), None):
            paths[argument] = path
    return paths


def _find_ijb(folders: Sequence[FolderContents], name: str) -> EvaluationSet:
    title, files = IJB_FILES[name]
    matches: dict[Path, Path] = {}  # keyed by the resolved folder, because a link may give it a second path
    for folder in folders:
        for subfolder_name in SUBFOLDERS:
            subfolder = folder.subfolder(subfolder_name) if subfolder_name else folder.path
            is_listed = subfolder_name or folder.names.intersection(files)
            if subfolder and is_listed and any((subfolder / file).is_file() for file in files):
                matches.setdefault(subfolder.resolve(), folder.path)
    if not matches:
        return EvaluationSet(title, name, "ijb", missing=f"no folder that holds {' or '.join(files)}")
    first, *others = matches.values()
    return EvaluationSet(title, name, "ijb", {"meta": first}, others)


def _normalized_name(name: str) -> str:
    """Return the key in `PAIR_SETS` of a well-known set, however its name is written; other names as they are."""
    key = re.sub(r"[\W_]", "", name.lower())
    if key == "agedb":
        return "agedb30"
    return key if key in PAIR_SETS else name


def _is_pickle(file: Path) -> bool:
    """Return whether a file begins like a pickle of protocol 2 or later."""
    try:
        with file.open("rb") as handle:
            return handle.read(1) == b"\x80"
    except OSError:  # reading the set reports the problem
        return True
