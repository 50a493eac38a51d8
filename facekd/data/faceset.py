"""The face set: an image set of aligned crops of people, whatever the container they come in."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path

from facekd.data.imageset import ImageSet, Pixels
from facekd.data.views import decode
from facekd.errors import DataError


class FaceSet(ImageSet):
    """Encoded images, one class a person; the crops are square, which is checked when they are used.

    The folder format serves photographs and other labelled images as well, before they are aligned or for class sets.
    """

    @property
    def identities(self) -> int:
        """Number of people, those without an image included."""
        return self.classes

    @abstractmethod
    def read(self, index: int) -> bytes:
        """The encoded bytes (JPEG, PNG) of image ``index``, as they lie in the container.

        Raises:
            DataError: the image cannot be read; the message names it.
        """

    def content(self, index: int) -> bytes:
        """The encoded bytes."""
        return self.read(index)

    def pixels(self, index: int) -> Pixels:
        """Image ``index``, decoded.

        Raises:
            DataError: the bytes are no image; the message names it.
        """
        return decode(self.read(index), self.where(index))


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
