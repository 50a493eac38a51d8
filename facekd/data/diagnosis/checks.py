"""The doctor's checks of one face set, and of two beside each other; each gives the findings it has."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from facekd.data.containers.image_folder import FolderFaces
from facekd.data.containers.recordio_faces import RecordFaces
from facekd.data.diagnosis.digests import repeated, shared
from facekd.data.diagnosis.finding import EXAMPLES, Finding, Level, examples
from facekd.data.diagnosis.scan import Survey
from facekd.errors import DataError

Findings = Iterator[Finding]
SKIN_MARGIN = 3.0
"""Grey levels by which blue must exceed red: skin is redder than blue by about 60, grey pictures by 0."""


def unreadable(seen: Survey) -> Findings:
    """Images that do not decode or are cut short."""
    if bad := seen.unreadable:
        what = f"{bad} of {len(seen.faces)} images in {seen.faces.path} cannot be read"
        advice = "restore these images or remove them, then pack again"
        yield Finding("error", what, examples(seen.reasons, bad), advice, bad)


def labels(seen: Survey) -> Findings:
    """Identities without an image: gaps in the labels, empty subfolders."""
    faces = seen.faces
    gaps = np.flatnonzero(_images_each(seen) == 0)
    if len(gaps):
        span = f"{len(gaps)} of 0 to {faces.identities - 1}"
        what = f"the labels of {faces.path} are not contiguous: {span} have no image"
        advice = "each costs the head a class that never trains; 'facekd pack' of this set numbers them anew"
        places = examples([f"label {gap}" for gap in gaps[:EXAMPLES].tolist()], len(gaps))
        yield Finding("warning", what, places, advice, len(gaps))
    if isinstance(faces, FolderFaces) and faces.empty:
        what = f"{len(faces.empty)} subfolders of {faces.path} hold no image; they get no label"
        advice = "remove them, or restore their images"
        yield Finding("warning", what, examples(faces.empty), advice, len(faces.empty))


def near_empty(seen: Survey, few: int) -> Findings:
    """Identities with at least one image, but fewer than ``few``."""
    faces, counts = seen.faces, _images_each(seen)
    small = np.flatnonzero((counts > 0) & (counts < few))
    if not len(small):
        return
    what = f"{len(small)} of {faces.identities} identities in {faces.path} have fewer than {few} images"
    places = examples([f"{faces.names[label]} ({counts[label]})" for label in small[:EXAMPLES].tolist()], len(small))
    if len(small) == faces.identities:
        yield Finding("note", what, places, "right for distractors; a set to train on needs more a person", len(small))
    else:
        advice = "fine in a test set; to train on, find more images of them or remove them: they teach little"
        yield Finding("warning", what, places, advice, len(small))


def duplicates(seen: Survey) -> Findings:
    """The same encoded bytes more than once: under one identity, and under several."""
    faces = seen.faces
    pairs, several = repeated(seen.digests, faces.labels)
    crossing, within = pairs[several], pairs[~several]
    if len(crossing):
        what = f"{len(crossing)} images of {faces.path} stand under more than one identity"
        advice = "at most one of the labels is right: merge the identities if they are one person, or remove the images"
        yield Finding("error", what, _alike(seen, seen, crossing), advice, len(crossing))
    if len(within):
        what = f"{len(within)} images of {faces.path} stand there more than once under the same identity"
        advice = "remove all but one of each; in a published test set leave them, and say so beside the figures"
        yield Finding("warning", what, _alike(seen, seen, within), advice, len(within))


def sizes(seen: Survey, size: int | None) -> Findings:
    """Images that are not square, of mixed sizes, or not as large as the property file or the user says."""
    faces = seen.faces
    readable = np.flatnonzero(seen.sizes[:, 0])
    shapes = seen.sizes[readable]

    def found(wrong: NDArray[np.bool_], what: str, advice: str, level: Level = "warning") -> Findings:
        if wrong.any():
            odd = np.flatnonzero(wrong)
            places = [f"{faces.where(readable[i])} ({shapes[i, 1]}x{shapes[i, 0]})" for i in odd[:EXAMPLES]]
            said = f"{len(odd)} of {len(faces)} images in {faces.path} {what}"
            yield Finding(level, said, examples(places, len(odd)), advice, len(odd))

    align = "they are no aligned crops; run 'facekd align' on the photographs they come from"
    yield from found(shapes[:, 0] != shapes[:, 1], "are not square", align, "error")
    kinds, counts = np.unique(shapes, axis=0, return_counts=True)
    if len(kinds) > 1:
        common = kinds[counts.argmax()]
        what = f"are not {common[1]}x{common[0]} like most"
        yield from found((shapes != common).any(1), what, "bring all to one size with 'facekd align', then pack again")
    claimed = faces.property_size if isinstance(faces, RecordFaces) else None
    if claimed is not None:
        what = f"are not {claimed[1]}x{claimed[0]} as 'property' says"
        yield from found((shapes != claimed).any(1), what, "correct 'property' or pack the images again")
    if size is not None:
        advice = "they will be resized; a set aligned at the size of the network gives a better model"
        yield from found((shapes != size).any(1), f"are not {size}x{size} as asked for", advice)


def colours(seen: Survey) -> Findings:
    """Blue above red where skin should be: the channels were swapped when the images were written."""
    redness = seen.tones[:, 0] - seen.tones[:, 2]
    redness = redness[np.isfinite(redness)]
    if len(redness) and redness.mean() < -SKIN_MARGIN:
        blue = int((redness < 0).sum())
        what = f"the colour order of {seen.faces.path} looks swapped: blue is {-redness.mean():.0f} levels above red"
        advice = "look at some images; if faces are blue, red and blue were swapped on saving: swap them and write anew"
        yield Finding("warning", what, f"{blue} of {len(redness)} images", advice, blue)


def container(seen: Survey) -> Findings:
    """What the container says of itself against what it holds, and files that were passed over."""
    faces = seen.faces
    if isinstance(faces, FolderFaces) and faces.ignored:
        what = f"{faces.ignored} files in {faces.path} were ignored: hidden, of another kind, or outside the subfolders"
        yield Finding("note", what, "", "nothing to do unless images are among them", faces.ignored)
    if not isinstance(faces, RecordFaces):
        return
    repack = "evaluators that trust it go wrong; pack the set again"
    if faces.property_identities not in (None, faces.identities):
        claim = f"{faces.property_identities} identities, its labels {faces.identities}"
        what = f"'property' beside {faces.path} says {claim}"
        yield Finding("warning", what, str(faces.path.parent / "property"), repack, 1)
    try:
        ranges = faces.identity_ranges
    except DataError as problem:
        yield Finding("error", f"the identity records of {faces.path} are damaged", str(problem), repack, 1)
        return
    held = _images_each(seen)
    said = ranges[:, 1] - ranges[:, 0]
    if len(said) and not np.array_equal(said, held) and not np.array_equal(said, held[held > 0]):
        what = f"the {len(said)} identity records of {faces.path} do not say what its labels say"
        yield Finding("warning", what, "", repack, len(said))


def between(one: Survey, other: Survey) -> Findings:
    """Names and images that two sets share, or the statement that they share none."""
    pair = f"{one.faces.path} and {other.faces.path}"
    unnamed = [str(seen.faces.path) for seen in (one, other) if not _names(seen)]
    names = sorted(_names(one) & _names(other))
    images = shared(one.digests, other.digests)
    if names:
        advice = "if one set trains and the other tests, remove these people from the training set"
        yield Finding("warning", f"{len(names)} names stand in both {pair}", examples(names), advice, len(names))
    if len(images):
        advice = "if one set trains and the other tests, remove these images, and their people, from the training set"
        what = f"{len(images)} images stand in both {pair}"
        yield Finding("error", what, _alike(one, other, images), advice, len(images))
    if not names and not len(images):
        advice = "nothing to do"
        if unnamed:
            advice += f"; the names of {' and '.join(unnamed)} are numbers, so the same person would not show by name"
        none = "no image" if len(unnamed) == 2 else "no name and no image"
        yield Finding("note", f"{none} is shared between {pair}", "", advice, 0)


SINGLE: tuple[Callable[[Survey], Findings], ...] = (unreadable, labels, duplicates, colours, container)
"""The checks that need nothing but the survey."""


def _images_each(seen: Survey) -> NDArray[np.int64]:
    return np.bincount(seen.faces.labels, minlength=seen.faces.identities)


def _names(seen: Survey) -> set[str]:
    """The names that mean a person: numbers are counted anew in every set."""
    return {name for name in seen.faces.names if not name.strip().isdecimal()}


def _alike(one: Survey, other: Survey, pairs: NDArray[np.int64]) -> str:
    first = [f"{one.faces.where(i)} = {other.faces.where(j)}" for i, j in pairs[:EXAMPLES].tolist()]
    return examples(first, len(pairs))
