"""Whether faces that set a model's ranges stand in the pairs that test it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from facekd.data.diagnosis.finding import examples
from facekd.data.face_set import FaceSet
from facekd.data.pairs.pair_set import PairSet, people_of
from facekd.data.transforms import crop_of
from facekd.errors import DataError


def refuse_overlap(faces: FaceSet, chosen: Sequence[int], pairs: PairSet, size: int) -> None:
    """Refuse calibration faces that share an image or a person with the test pairs.

    Images are one where their pixels are, decoded and brought to ``size``; so a face is recognised in another
    container, but not after it was compressed anew. People are one by name, where the pairs' paths tell names (see
    `people_of`); names that are numbers are counted anew in every set, and mean a person only in the same folder.

    Args:
        faces: the calibration set.
        chosen: which of its images are used.
        pairs: the test pairs.
        size: side of the crops in pixels.

    Raises:
        DataError: they share an image or a person, or an image cannot be used.
    """
    sums = {_digest(faces.read(i), size, faces.where(i)): i for i in chosen}
    for index in range(len(pairs.images)):
        found = sums.get(_digest(pairs.read(index), size, pairs.where(index)))
        if found is not None:
            raise DataError(
                f"the calibration image {faces.where(found)} also stands in the test pairs {pairs.source} "
                f"({pairs.where(index)}); calibrate on other faces, the training set's"
            )
    calibrated = {faces.names[label] for label in faces.labels[list(chosen)].tolist()}
    tested = set(people_of(pairs) or ())
    if not _same_folder(faces, pairs):
        tested = {name for name in tested if not name.strip().isdecimal()}
    both = sorted(calibrated & tested)
    if both:
        raise DataError(
            f"{examples(both)} of the calibration faces {faces.path} also stand in the test pairs {pairs.source}; "
            "calibrate on faces of other people, the training set's"
        )


def _digest(data: bytes, size: int, where: str) -> bytes:
    return hashlib.sha256(crop_of(data, size, where).tobytes()).digest()


def _same_folder(faces: FaceSet, pairs: PairSet) -> bool:
    root = faces.path.resolve()
    return any(root in image.resolve().parents for image in pairs.images[:1] if isinstance(image, Path))
