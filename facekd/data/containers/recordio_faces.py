"""A face set in a RecordIO file, as InsightFace packs it."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facekd.data.containers.recordio import RecordFile
from facekd.data.face_set import FaceSet
from facekd.errors import DataError

EXACT = 1 << 24
"""Whole numbers up to here are exact in the float32 that the format stores labels in."""


def find_record_file(path: Path) -> Path | None:
    """The ``.rec`` a path means: itself, a folder's ``train.rec``, or the only one in the folder; otherwise None."""
    if path.suffix == ".rec" and path.is_file():
        return path
    found = sorted(path.glob("*.rec"))
    named = [file for file in found if file.name == "train.rec"]
    return named[0] if named else found[0] if len(found) == 1 else None


class RecordFaces(FaceSet):
    """A ``.rec`` with its ``.idx``, and where present ``property`` and ``names.txt`` in the same folder.

    InsightFace's layout: record 0 has no image and the label ``[n+1, n+1+ids]``, records 1 to n are the images,
    records from n+1 on have no image and say which records belong to a person, ``[first, last)``. Without such a
    record 0 every record is an image, in the order of the keys. An image's label is one number or the first of several.

    Labels are taken as they are: where some numbers are missing the set opens all the same, `identities` is the
    highest label + 1, and it is for the doctor to say so.

    Attributes:
        path: the ``.rec``.
        property_identities: number of identities that ``property`` claims, None without that file.
        property_size: height and width in pixels that ``property`` claims, None without that file.

    Raises:
        DataError: as `RecordFile`; images missing in the index, a label that is no identity, malformed ``property``,
            or ``names.txt`` of another length.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = RecordFile(path)
        self._rows, self._identity_rows = _images_and_identities(self._file)
        self.labels = _identity_numbers(self._file, self._rows)
        self.names = _read_names(path.parent / "names.txt", int(self.labels.max()) + 1)
        self.property_identities, self.property_size = _read_property(path.parent / "property")

    def read(self, index: int) -> bytes:
        """The encoded bytes of image ``index``.

        Raises:
            DataError: the record is damaged or cut short.
        """
        return self._file.image(self._rows[index])

    def where(self, index: int) -> str:
        """The ``.rec``, the record's key and its byte."""
        return self._file.where(self._rows[index])

    def name(self, index: int) -> str:
        """The person and the record's key, as ``PERSON/KEY``."""
        return f"{self.names[self.labels[index]]}/{self._file.keys[self._rows[index]]}"

    @cached_property
    def identity_ranges(self) -> NDArray[np.int64]:
        """What the identity records say: int64 [ids, 2], first key and last key + 1; [0, 2] where there are none.

        Raises:
            DataError: an identity record is damaged or holds no range.
        """
        ranges = np.empty((len(self._identity_rows), 2), np.int64)
        for place, row in enumerate(self._identity_rows):
            ranges[place] = _pair(self._file, row, "the range of a person's records")
        return ranges


def _images_and_identities(file: RecordFile) -> tuple[range, range]:
    """Rows of the image records and of the identity records."""
    rows = range(len(file))
    if file.keys[0] != 0:
        return rows, rows[:0]
    header, image = file.record(0)
    if not header.vector or image:
        return rows, rows[:0]
    end, _ = _pair(file, 0, "the number of images")
    present = int(np.searchsorted(file.keys, end)) - 1
    if end <= 1:
        raise DataError(f"{file.where(0)} says that the set holds no image; pack the set again")
    if present != end - 1:
        promise = f"{file.path} promises {end - 1} images in record 0"
        raise DataError(f"{promise}, {file.index.name} lists {present}; copy both again from where they came from")
    return rows[1:end], rows[end:]


def _pair(file: RecordFile, row: int, meaning: str) -> tuple[int, int]:
    """A record's label as two whole numbers."""
    vector = file.record(row)[0].vector
    if len(vector) != 2 or not all(number.is_integer() and 0 <= number < 2**53 for number in vector):
        label = f"{file.where(row)} has the label {list(vector)[:4]}"
        raise DataError(f"{label}, two whole numbers are needed ({meaning}); pack the set again")
    return int(vector[0]), int(vector[1])


def _identity_numbers(file: RecordFile, rows: range) -> NDArray[np.int64]:
    labels = file.labels(np.arange(rows.start, rows.stop))
    wrong = np.flatnonzero(~((labels >= 0) & (labels < EXACT) & (labels == np.floor(labels))))
    if len(wrong):
        first = int(wrong[0])
        raise DataError(
            f"{file.where(rows[first])} has the label {labels[first]:g}, which numbers no identity (0, 1, 2, …); "
            f"{len(wrong)} of {len(rows)} images are like this. Is it a face set? If so, pack it again from the images"
        )
    return labels.astype(np.int64)


def _read_names(path: Path, identities: int) -> list[str]:
    if not path.is_file():
        return [str(label) for label in range(identities)]
    names = path.read_bytes().decode("utf-8", "surrogateescape").replace("\r\n", "\n").removesuffix("\n").split("\n")
    if len(names) != identities:
        raise DataError(f"{path} holds {len(names)} names for {identities} identities; correct or remove it")
    return names


def _read_property(path: Path) -> tuple[int | None, tuple[int, int] | None]:
    if not path.is_file():
        return None, None
    text = path.read_text(encoding="latin-1").strip()
    try:
        identities, height, width = (int(field) for field in text.split(","))
    except ValueError:
        needed = "'identities,height,width' is needed; correct or remove it"
        raise DataError(f"{path} holds {text[:40]!r}, {needed}") from None
    return identities, (height, width)
