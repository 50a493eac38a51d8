"""Which evaluation sets lie in a folder, known by the names that their makers and InsightFace give them."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from facekd.data.containers.path_list import some
from facekd.data.ijb.nist import LAYOUTS
from facekd.data.ijb.opening import PLACES
from facekd.data.megaface import noise_lists
from facekd.errors import DataError

PAIRS = {
    "lfw": ("LFW", "lfw", "pairs"), "cfpff": ("CFP-FF", "cfp_ff", "pairs_ff"),
    "cfpfp": ("CFP-FP", "cfp_fp", "pairs_fp"), "agedb30": ("AgeDB-30", "agedb_30", "pairs"),
    "calfw": ("CALFW", "calfw", "pairs"), "cplfw": ("CPLFW", "cplfw", "pairs"),
}
"""The pair lists everybody asks for: title, name of the .bin and of results, name of the list in a folder of images."""
PAIR_LIST = re.compile(r"pairs(.*)\.(?:csv|txt)", re.IGNORECASE)
KIT = {"probes": "facescrub_images", "distractors": "megaface_images", "lists": "templatelists"}
FACE_SETS = {"probes": "probes", "distractors": "distractors"}
IJB = {
    "ijbb": ("IJB-B", ("ijbb_face_tid_mid.txt", LAYOUTS[0].probes)),
    "ijbc": ("IJB-C", ("ijbc_face_tid_mid.txt", *(layout.probes for layout in LAYOUTS[1:]))),
}


@dataclass(frozen=True)
class EvaluationSet:
    """One set that was expected or found.

    Attributes:
        title: how a table calls it.
        name: how results are called.
        protocol: ``verify``, ``megaface`` or ``ijb``.
        inputs: where it lies, by what the protocol's verb calls each part; empty where it was not found.
        others: what lies there of the same set in other places or forms, and is not used.
        missing: what was looked for and is not there.
    """

    title: str
    name: str
    protocol: str
    inputs: Mapping[str, Path] = field(default_factory=dict)
    others: Sequence[Path] = ()
    missing: str = ""

    def stamp(self) -> str:
        """Hexadecimal SHA-256 over path, size and time of the last change of every file of the set; none is read.

        Raises:
            DataError: a folder cannot be listed.
        """
        digest = hashlib.sha256()
        for part, path in sorted(self.inputs.items()):
            for file in _below(path) if path.is_dir() else [str(path)]:
                found = os.stat(file) if os.path.exists(file) else os.lstat(file)  # a link may lead nowhere
                line = f"{part} {file.removeprefix(str(path))} {found.st_size} {found.st_mtime_ns}\n"
                digest.update(line.encode("utf-8", "surrogateescape"))
        return digest.hexdigest()


def find_sets(folder: Path) -> tuple[list[EvaluationSet], list[str]]:
    """Look for evaluation sets in a folder and in its subfolders, not deeper.

    - LFW, CFP-FF, CFP-FP, AgeDB-30, CALFW, CPLFW: InsightFace's ``lfw.bin``, ``cfp_fp.bin``, ...; or a folder of images
      that holds its pair list: ``lfw/pairs.txt``, ``cfp/pairs_fp.csv``, ... Capitals and ``-``, ``_`` do not count.
    - MegaFace: ``facescrub_images``, ``megaface_images`` and ``templatelists``, in one place or in several; or the face
      sets ``probes`` and ``distractors`` in one place. The noise lists are taken where they are, or from ``noise``.
    - IJB-B, IJB-C: a folder that `facekd.data.ijb.opening.open_ijb` reads.
    - Every other ``.bin`` directly in the folder that is a pickle, and every other ``pairs*.csv`` and ``pairs*.txt``
      beside its images, under a name of its own.

    Of one set in several forms one is used: a ``.bin`` before lists, the folder before its subfolders, CSV before text.

    Returns:
        The expected sets in this order, found or not, then the others; and sentences on what was passed over.

    Raises:
        DataError: no such folder, or one that cannot be listed.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; give the one that holds the evaluation sets")
    inside = [item for item in _listed(folder) if item.is_dir() and not item.name.startswith(".")]
    places = [folder, *(item for item in inside if os.access(item, os.R_OK | os.X_OK))]
    closed = [item.name for item in inside if item not in places]
    pairs, strange = _pair_sets(places)
    notes = [f"passed over, because they {why}: {some(names)}" for why, names in (
        ("cannot be listed", closed), ("are no verification sets of InsightFace", strange)) if names]
    own = [one for key, one in pairs.items() if key not in PAIRS]
    expected = [pairs[key] if key in pairs else _absent_pairs(*names) for key, names in PAIRS.items()]
    return [*expected, _megaface(places), *(_ijb(places, name) for name in IJB), *own], notes


def _pair_sets(places: Sequence[Path]) -> tuple[dict[str, EvaluationSet], list[str]]:
    """Every set of pairs by its key, and the .bin files that are none."""
    found: dict[str, list[tuple[str, Path, Path | None]]] = {}
    strange = []
    for place in places:
        own = Path(os.path.abspath(place)).name
        for file in sorted(filter(Path.is_file, _listed(place)), key=lambda file: (file.suffix.lower(), file.name)):
            match = PAIR_LIST.fullmatch(file.name)
            if match:
                name = "-".join(filter(None, (own, match[1].strip(" _-."))))
                found.setdefault(_key(name), []).append((name, file, place))
            elif file.suffix.lower() == ".bin" and (place == places[0] or _key(file.stem) in PAIRS):
                if _key(file.stem) in PAIRS or _is_pickle(file):
                    found.setdefault(_key(file.stem), []).append((file.stem, file, None))
                else:
                    strange.append(file.name)
    sets = {}
    for key, forms in found.items():
        name, file, images = min(forms, key=lambda form: form[2] is not None)
        title, name, _ = PAIRS.get(key, (name, name, ""))
        inputs = {"pairs": file, **({"images": images} if images else {})}
        sets[key] = EvaluationSet(title, name, "verify", inputs, [other for _, other, _ in forms if other != file])
    return sets, strange


def _absent_pairs(title: str, name: str, listed: str) -> EvaluationSet:
    place = name if listed == "pairs" else name.partition("_")[0]
    looked = f"neither {name}.bin nor a folder {place} of images with {listed}.csv or {listed}.txt in it"
    return EvaluationSet(title, name, "verify", missing=looked)


def _megaface(places: Sequence[Path]) -> EvaluationSet:
    kit = _parts(places, KIT)
    faces = [_parts([place], FACE_SETS) for place in places]
    whole = [kit] * (kit.keys() == KIT.keys()) + [parts for parts in faces if parts.keys() == FACE_SETS.keys()]
    there = dict.fromkeys(path for parts in (kit, *faces) for path in parts.values())
    if not whole:
        looked = f"neither {', '.join(KIT.values())} nor the face sets {' and '.join(FACE_SETS.values())} in one place"
        only = f"; there is {some([str(path) for path in there])}" if there else ""
        return EvaluationSet("MegaFace", "megaface", "megaface", missing=looked + only)
    noise = [place for place in (*places, *(place / "noise" for place in places))
             if (place / noise_lists.PROBES).is_file() and (place / noise_lists.DISTRACTORS).is_file()]
    inputs = {**whole[0], **({"noise": noise[0]} if noise else {})}
    others = [path for path in there if path not in inputs.values()]
    return EvaluationSet("MegaFace", "megaface", "megaface", inputs, others)


def _parts(places: Sequence[Path], names: Mapping[str, str]) -> dict[str, Path]:
    """The parts of a set that are there, each in the first place that has it."""
    there = {part: next((place / name for place in places if (place / name).is_dir()), None)
             for part, name in names.items()}
    return {part: path for part, path in there.items() if path}


def _ijb(places: Sequence[Path], name: str) -> EvaluationSet:
    title, files = IJB[name]
    found: dict[Path, Path] = {}
    for place in places:
        for inner in (place / name for name in PLACES):
            if any((inner / file).is_file() for file in files):
                found.setdefault(inner.resolve(), place)
    if not found:
        return EvaluationSet(title, name, "ijb", missing=f"no folder that holds {' or '.join(files)}")
    first, *others = found.values()
    return EvaluationSet(title, name, "ijb", {"meta": first}, others)


def _key(name: str) -> str:
    """The key in `PAIRS` that a name means, however it is written; other names as they are."""
    bare = re.sub(r"[\W_]", "", name.lower())
    return "agedb30" if bare == "agedb" else bare if bare in PAIRS else name


def _is_pickle(file: Path) -> bool:
    """Whether a file begins like the pickles of protocol 2 and later."""
    try:
        with file.open("rb") as handle:
            return handle.read(1) == b"\x80"
    except OSError:  # what is wrong is said when it is read as one
        return True


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as problem:
        _refuse(problem)


def _below(folder: Path) -> Iterator[str]:
    """Every file below a folder, and the linked folders, which are not entered."""
    for place, folders, names in os.walk(folder, onerror=_refuse):
        folders.sort()
        links = [name for name in folders if os.path.islink(os.path.join(place, name))]
        yield from (os.path.join(place, name) for name in sorted([*names, *links]))


def _refuse(problem: OSError) -> NoReturn:
    raise DataError(f"{problem.filename} cannot be listed ({problem.strerror}); allow it or move it elsewhere")
