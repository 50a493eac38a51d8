"""The checks of ``facekd doctor`` on the labels of a face set; each yields its findings."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from facekd.data.containers.image_folder import FolderFaces
from facekd.data.diagnosis.finding import MAX_EXAMPLES, Finding, format_examples
from facekd.data.diagnosis.scan import ImageScan

Findings = Iterator[Finding]
_NO_PERSON = re.compile(
    r"(19|20)\d\d([-_.]?(0[1-9]|1[0-2])([-_.]?(0[1-9]|[12]\d|3[01])([-_T ].*)?)?)?"
    r"|(cam|camera|dcim|day|session|video|album|event|batch|site|door)[-_ ]?\d*"
    r"|train|training|test|val|valid|validation|all|images|photos|pictures|crops|faces|unknown|unsorted|misc",
    re.IGNORECASE)
"""Names of folders that are years, months or days, devices or events, or splits."""


def check_labels(scan: ImageScan) -> Findings:
    """Report identities without an image: gaps in the labels, empty subfolders."""
    faces = scan.face_set
    gaps = np.flatnonzero(scan.images_per_identity() == 0)
    if len(gaps):
        span = f"{len(gaps)} of 0 to {faces.num_identities - 1}"
        message = f"the labels of {faces.path} are not contiguous: {span} have no image"
        advice = "each adds a class to the head that is never trained; 'facekd pack' of this set renumbers the labels"
        examples = format_examples([f"label {gap}" for gap in gaps[:MAX_EXAMPLES].tolist()], len(gaps))
        yield Finding("warning", message, examples, advice, len(gaps))
    if isinstance(faces, FolderFaces) and faces.empty:
        message = f"{len(faces.empty)} subfolders of {faces.path} hold no image; they get no label"
        advice = "remove them, or restore their images"
        yield Finding("warning", message, format_examples(faces.empty), advice, len(faces.empty))


def check_single_identity(scan: ImageScan) -> Findings:
    """Report a set of one identity, and what a set without labels is good for."""
    faces = scan.face_set
    if not faces.is_labeled:
        reason = f": {faces.unlabeled_reason}" if faces.unlabeled_reason else ""
        advice = ("good for 'facekd distill' by a method without labels, 'prune', 'embed' and 'export --calibration'; "
                  "'facekd group' sorts it into people by a model")
        yield Finding("note", f"{faces.path} has no labels{reason}", "", advice, len(faces))
    elif faces.num_identities == 1:
        message = f"all images of {faces.path} are of one identity, from whose labels nothing can be learned"
        advice = ("give each person a subfolder; if the images show several people, use them as a set without labels "
                  "(data.labels=false, here --no-labels)")
        yield Finding("warning", message, "", advice, 1)


def check_folder_names(scan: ImageScan) -> Findings:
    """Report subfolders that are named like dates, cameras or splits: labels that name no people."""
    faces = scan.face_set
    if not isinstance(faces, FolderFaces):
        return
    suspicious = [name for name in faces.class_names if _NO_PERSON.fullmatch(name)]
    if 2 * len(suspicious) > len(faces.class_names):
        message = f"{len(suspicious)} of {len(faces.class_names)} subfolders of {faces.path} are named like dates, "
        advice = ("if they are not people, every label is wrong: use the images as a set without labels "
                  "(data.labels=false, here --no-labels)")
        yield Finding("warning", f"{message}cameras or parts of a set, not like people", format_examples(suspicious),
                      advice, len(suspicious))


def check_near_empty(scan: ImageScan, min_images: int) -> Findings:
    """Report identities with at least one image, but fewer than ``min_images``."""
    faces = scan.face_set
    counts = scan.images_per_identity()
    small = np.flatnonzero((counts > 0) & (counts < min_images))
    if not len(small) or not faces.is_labeled:
        return
    message = f"{len(small)} of {faces.num_identities} identities in {faces.path} have fewer than {min_images} images"
    named = [f"{faces.class_names[label]} ({counts[label]})" for label in small[:MAX_EXAMPLES].tolist()]
    examples = format_examples(named, len(small))
    if len(small) == faces.num_identities:
        advice = "normal for distractors; a training set needs more images per person"
        yield Finding("note", message, examples, advice, len(small))
    else:
        advice = "fine in a test set; for training, find more images of these people or remove them: they teach little"
        yield Finding("warning", message, examples, advice, len(small))
