"""The checks of ``facekd doctor`` on one face set, and on two face sets together; each yields its findings."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from facekd.data.containers.image_folder import FolderFaces
from facekd.data.containers.recordio_faces import RecordFaces
from facekd.data.diagnosis.digests import find_repeated, find_shared
from facekd.data.diagnosis.finding import MAX_EXAMPLES, Finding, Level, format_examples
from facekd.data.diagnosis.label_checks import check_folder_names, check_labels, check_single_identity
from facekd.data.diagnosis.scan import ImageScan
from facekd.data.unlabeled import LooseImages
from facekd.errors import DataError

Findings = Iterator[Finding]
SKIN_MARGIN = 3.0
"""Gray levels by which blue must exceed red: skin is redder than blue by about 60, gray images by 0."""



def check_unreadable(scan: ImageScan) -> Findings:
    """Report images that do not decode or are cut short."""
    if count := scan.unreadable:
        message = f"{count} of {len(scan.face_set)} images in {scan.face_set.path} cannot be read"
        advice = "restore these images or remove them, then pack again"
        if count > MAX_EXAMPLES:
            advice += "; --json FILE names all of them"
        yield Finding("error", message, format_examples(scan.reasons, count), advice, count)


def check_duplicates(scan: ImageScan) -> Findings:
    """Report encoded bytes that occur more than once, under one identity or under several."""
    faces = scan.face_set
    pairs, has_several_labels = find_repeated(scan.digests, faces.labels)
    across = pairs[has_several_labels]
    within = pairs[~has_several_labels]
    if len(across):
        message = f"{len(across)} images of {faces.path} are listed under more than one identity"
        advice = "at most one of the labels is right: merge the identities if they are one person, or remove the images"
        yield Finding("error", message, _format_pairs(scan, scan, across), advice, len(across))
    if len(within):
        same = " under the same identity" if faces.is_labeled else ""
        message = f"{len(within)} images of {faces.path} occur more than once{same}"
        advice = "remove all but one of each; in a published test set leave them, and state it with the results"
        yield Finding("warning", message, _format_pairs(scan, scan, within), advice, len(within))


def check_sizes(scan: ImageScan, size: int | None) -> Findings:
    """Report images that are not square, of mixed sizes, or of another size than the property file or ``size``."""
    faces = scan.face_set
    readable = np.flatnonzero(scan.sizes[:, 0])
    shapes = scan.sizes[readable]

    def report(wrong: NDArray[np.bool_], problem: str, advice: str, level: Level = "warning") -> Findings:
        """Report the readable images for which ``wrong`` is true, bool [readable]."""
        if wrong.any():
            odd = np.flatnonzero(wrong)
            named = [f"{faces.location(readable[i])} ({shapes[i, 1]}x{shapes[i, 0]})" for i in odd[:MAX_EXAMPLES]]
            message = f"{len(odd)} of {len(faces)} images in {faces.path} {problem}"
            yield Finding(level, message, format_examples(named, len(odd)), advice, len(odd))

    align = "they are not aligned crops; run 'facekd align' on the photographs they come from"
    yield from report(shapes[:, 0] != shapes[:, 1], "are not square", align, "error")
    sizes, counts = np.unique(shapes, axis=0, return_counts=True)
    if len(sizes) > 1:
        height, width = sizes[counts.argmax()]
        advice = "bring all to one size with 'facekd align', then pack again"
        yield from report((shapes != (height, width)).any(1), f"are not {width}x{height} like most", advice)
    claimed = faces.property_size if isinstance(faces, RecordFaces) else None
    if claimed is not None:
        problem = f"are not {claimed[1]}x{claimed[0]} as 'property' says"
        yield from report((shapes != claimed).any(1), problem, "correct 'property' or pack the images again")
    if size is not None:
        advice = "they will be resized; a set aligned at the size of the network gives a better model"
        yield from report((shapes != size).any(1), f"are not {size}x{size} as requested", advice)


def check_color_order(scan: ImageScan) -> Findings:
    """Report more blue than red in skin regions: red and blue were swapped when the images were written."""
    redness = scan.tones[:, 0] - scan.tones[:, 2]
    redness = redness[np.isfinite(redness)]
    if len(redness) and redness.mean() < -SKIN_MARGIN:
        blue = int((redness < 0).sum())
        difference = f"blue is {-redness.mean():.0f} levels above red"
        message = f"the color order of {scan.face_set.path} looks swapped: {difference}"
        advice = "look at some images; if faces are blue, swap red and blue and write the images again"
        yield Finding("warning", message, f"{blue} of {len(redness)} images", advice, blue)


def check_container(scan: ImageScan) -> Findings:
    """Report metadata of the container that contradict its content, and files that were ignored."""
    faces = scan.face_set
    if isinstance(faces, FolderFaces | LooseImages) and faces.ignored:
        kinds = "hidden, of another kind, or outside the subfolders"
        message = f"{faces.ignored} files in {faces.path} were ignored: {kinds}"
        yield Finding("note", message, "", "nothing to do unless images are among them", faces.ignored)
    if not isinstance(faces, RecordFaces):
        return
    advice = "programs that rely on it give wrong results; pack the set again"
    if faces.property_identities not in (None, faces.num_identities):
        claim = f"{faces.property_identities} identities, its labels {faces.num_identities}"
        message = f"the 'property' file of {faces.path} says {claim}"
        yield Finding("warning", message, str(faces.path.parent / "property"), advice, 1)
    try:
        ranges = faces.identity_ranges
    except DataError as error:
        yield Finding("error", f"the identity records of {faces.path} are damaged", str(error), advice, 1)
        return
    by_label = scan.images_per_identity()
    by_record = ranges[:, 1] - ranges[:, 0]
    matches = np.array_equal(by_record, by_label) or np.array_equal(by_record, by_label[by_label > 0])
    if len(by_record) and not matches:
        message = f"the {len(by_record)} identity records of {faces.path} contradict its labels"
        yield Finding("warning", message, "", advice, len(by_record))


def compare_sets(first: ImageScan, second: ImageScan) -> Findings:
    """Report the names and images that two sets share, or that they share none."""
    pair = f"{first.face_set.path} and {second.face_set.path}"
    unnamed = [str(scan.face_set.path) for scan in (first, second) if not _person_names(scan)]
    names = sorted(_person_names(first) & _person_names(second))
    images = find_shared(first.digests, second.digests)
    if names:
        advice = "if one set trains and the other tests, remove these people from the training set"
        message = f"{len(names)} names occur in both {pair}"
        yield Finding("warning", message, format_examples(names), advice, len(names))
    if len(images):
        advice = "if one set trains and the other tests, remove these images, and their people, from the training set"
        message = f"{len(images)} images occur in both {pair}"
        yield Finding("error", message, _format_pairs(first, second, images), advice, len(images))
    if not names and not len(images):
        advice = "nothing to do"
        if unnamed:
            advice += (f"; the people of {' and '.join(unnamed)} are numbers or not known, so people in both sets "
                       "cannot be detected")
        shared = "no image" if len(unnamed) == 2 else "no name and no image"
        yield Finding("note", f"{shared} is shared between {pair}", "", advice, 0)


SINGLE_SET_CHECKS: tuple[Callable[[ImageScan], Findings], ...] = (
    check_unreadable, check_labels, check_single_identity, check_folder_names, check_duplicates, check_color_order,
    check_container,
)
"""The checks of one set that have no options."""


def _person_names(scan: ImageScan) -> set[str]:
    """Return the names that identify people; numbers do not, because every set counts from 0."""
    faces = scan.face_set
    return {name for name in faces.class_names if not name.strip().isdecimal()} if faces.is_labeled else set()


def _format_pairs(first: ImageScan, second: ImageScan, pairs: NDArray[np.int64]) -> str:
    """Format pairs of equal images, int64 [n, 2], as examples."""
    locations = [
        f"{first.face_set.location(i)} = {second.face_set.location(j)}" for i, j in pairs[:MAX_EXAMPLES].tolist()
    ]
    return format_examples(locations, len(pairs))
