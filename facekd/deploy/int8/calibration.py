"""The faces that set int8 ranges, and on which files are compared with their network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facekd.data.face_set import FaceSet
from facekd.data.opening import open_faces
from facekd.data.transforms import Crops, decode_crop
from facekd.errors import ExportError

CALIBRATION_FACES = 100
"""Number of evenly spaced calibration crops, which set int8 ranges and on which cosines are measured."""
MIN_CALIBRATION_FACES = 16
"""The minimum size of a calibration set: smaller ones show too few identities, which no later check would reveal."""


@dataclass(frozen=True)
class Calibration:
    """A calibration set and the crops that are used of it.

    Attributes:
        faces: the whole set.
        indices: the positions of the crops in it, ascending.
        crops: uint8 [images, size, size, 3] RGB.
    """

    faces: FaceSet
    indices: Sequence[int]
    crops: Crops

    @property
    def labels(self) -> list[int]:
        """The person in each crop; without labels every crop is taken for another person."""
        return self.faces.labels[self.indices].tolist() if self.faces.is_labeled else list(self.indices)


def read_calibration(path: Path | str, size: int) -> Calibration:
    """Read up to `CALIBRATION_FACES` crops of a face set.

    Raises:
        DataError: the set or an image cannot be used.
        ExportError: the set is too small.
    """
    faces = open_faces(path)
    if len(faces) < MIN_CALIBRATION_FACES:
        raise ExportError(f"{path} holds {len(faces)} faces, int8 ranges need at least {MIN_CALIBRATION_FACES}, better "
                          f"{CALIBRATION_FACES}, of different people; give the training set")
    indices = _evenly_spaced(len(faces))
    crops = np.stack([decode_crop(faces.read(index), size, faces.location(index)) for index in indices])
    return Calibration(faces, indices, crops)


def _evenly_spaced(count: int) -> list[int]:
    """Return up to `CALIBRATION_FACES` indices below ``count``."""
    indices: list[int] = np.linspace(0, count - 1, min(CALIBRATION_FACES, count)).round().astype(int).tolist()
    return sorted(set(indices))
