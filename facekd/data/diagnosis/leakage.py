"""Refuse calibration faces that are also in the test pairs."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from facekd.data.diagnosis.finding import format_examples
from facekd.data.face_set import FaceSet
from facekd.data.pairs.pair_set import PairSet, identities_from_folders
from facekd.data.transforms import decode_crop
from facekd.errors import DataError


def refuse_overlap(faces: FaceSet, indices: Sequence[int], pairs: PairSet, size: int) -> None:
    """Refuse calibration faces that share an image or a person with the test pairs.

    Images are equal if their pixels are equal after decoding and resizing to ``size``; so an image is recognized in
    another container, but not after it was compressed again. People are equal if their names are equal, provided that
    the paths of the pairs contain names (see `identities_from_folders`). Names that are numbers identify people only
    within one folder, because every set counts from 0. In a calibration set without labels any folder may be a person.

    Args:
        faces: the calibration set.
        indices: the images of the calibration set that are used.
        pairs: the test pairs.
        size: the side of the crops in pixels.

    Raises:
        DataError: the two share an image or a person, or an image cannot be used.
    """
    calibration = {_pixel_digest(faces.read(i), size, faces.location(i)): i for i in indices}
    for index in range(len(pairs.images)):
        match = calibration.get(_pixel_digest(pairs.read(index), size, pairs.location(index)))
        if match is not None:
            raise DataError(
                f"the calibration image {faces.location(match)} is also in the test pairs {pairs.source} "
                f"({pairs.location(index)}); calibrate on other faces, such as those of the training set"
            )
    calibration_people = _people(faces, indices)
    test_people = set(identities_from_folders(pairs) or ())
    if not _is_same_folder(faces, pairs):
        test_people = {name for name in test_people if not name.strip().isdecimal()}
    shared = sorted(calibration_people & test_people)
    if shared:
        raise DataError(
            f"{format_examples(shared)} of the calibration faces {faces.path} are also in the test pairs "
            f"{pairs.source}; calibrate on faces of other people, such as those of the training set"
        )


def _people(faces: FaceSet, indices: Sequence[int]) -> set[str]:
    """Return the names of the people in some images; without labels, the names of all folders above the images."""
    if faces.is_labeled:
        return {faces.class_names[label] for label in faces.labels[list(indices)].tolist()}
    return {folder for index in indices for folder in faces.image_name(index).split("/")[:-1]}


def _pixel_digest(data: bytes, size: int, location: str) -> bytes:
    return hashlib.sha256(decode_crop(data, size, location).tobytes()).digest()


def _is_same_folder(faces: FaceSet, pairs: PairSet) -> bool:
    root = faces.path.resolve()
    return any(root in image.resolve().parents for image in pairs.images[:1] if isinstance(image, Path))
