"""The face set: labelled, aligned crops, whatever the container they come in."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facekd.errors import DataError


@dataclass(frozen=True)
class Fingerprint:
    """What a face set holds, whatever its container: a folder and the RecordIO packed from it share one.

    Attributes:
        content: hexadecimal SHA-256 over label and encoded bytes of every image, in order.
        identities: number of labels.
        images: number of images.
    """

    content: str
    identities: int
    images: int


class FaceSet(ABC):
    """Labelled aligned crops in a fixed order, read one encoded image at a time; safe to read from many threads.

    Attributes:
        path: the folder or file the set was opened from.
        labels: int64 [images], the identity of each image, 0 to identities-1.
        names: one name an identity; where the container holds none, the label as text.
    """

    path: Path
    labels: NDArray[np.int64]
    names: list[str]

    def __len__(self) -> int:
        """Number of images."""
        return len(self.labels)

    @property
    def identities(self) -> int:
        """Number of identities, those without an image included."""
        return len(self.names)

    @abstractmethod
    def read(self, index: int) -> bytes:
        """The encoded bytes (JPEG, PNG) of image ``index``, as they lie in the container.

        Raises:
            DataError: the image cannot be read; the message names it.
        """

    @abstractmethod
    def where(self, index: int) -> str:
        """Where a person finds image ``index``: a file, or a container and the record in it."""

    def fingerprint(self) -> Fingerprint:
        """Read every image once and hash the set's content (about 1 GB/s)."""
        digest = hashlib.sha256()
        for index, label in enumerate(self.labels.tolist()):
            data = self.read(index)
            digest.update(b"%d %d\n" % (label, len(data)))
            digest.update(data)
        return Fingerprint(digest.hexdigest(), self.identities, len(self))


def open_faces(path: Path | str) -> FaceSet:
    """Open a face set: an InsightFace RecordIO folder (or its ``.rec`` file), or a folder with one subfolder a person.

    Raises:
        DataError: nothing there, or nothing in it that is a face set.
    """
    from facekd.data.folder import FolderFaces
    from facekd.data.record_faces import RecordFaces, find_record_file

    path = Path(path)
    if not path.exists():
        raise DataError(
            f"{path} does not exist; give a folder with one subfolder a person, "
            "or a RecordIO folder holding a .rec file"
        )
    record_file = find_record_file(path)
    if record_file is not None:
        return RecordFaces(record_file)
    if path.is_file():
        raise DataError(
            f"{path} is a file but no .rec; give a folder with one subfolder a person, or a RecordIO folder"
        )
    return FolderFaces(path)
