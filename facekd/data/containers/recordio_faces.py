"""A face set in a RecordIO file, in InsightFace's layout."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facekd.data.containers.recordio import RecordFile
from facekd.data.face_set import FaceSet
from facekd.errors import DataError

MAX_EXACT_FLOAT32 = 1 << 24
"""Integers up to this are exact in float32, in which the format stores labels."""


def find_record_file(path: Path) -> Path | None:
    """Return the path itself if it is a ``.rec``, a folder's ``train.rec``, or the only ``.rec`` in it; or None."""
    if path.suffix == ".rec" and path.is_file():
        return path
    files = sorted(path.glob("*.rec"))
    for file in files:
        if file.name == "train.rec":
            return file
    return files[0] if len(files) == 1 else None


class RecordFaces(FaceSet):
    """A ``.rec`` with its ``.idx``, and optional files ``property`` and ``names.txt`` in the same folder.

    InsightFace's layout: record 0 has no image and the label ``[n+1, n+1+ids]``; records 1 to n are the images; records
    from n+1 on have no image, and the range ``[first, last)`` of a person's records as label. Without such a record 0
    every record is an image, in the order of the keys. The label of an image is one number, or the first of several.

    Labels are not renumbered: if some numbers are missing, the set opens, `num_identities` is the highest label + 1,
    and ``facekd doctor`` reports the gaps.

    Args:
        path: the ``.rec``.

    Attributes:
        path: the ``.rec``.
        property_identities: the number of identities in ``property``; None without that file.
        property_size: the height and width in pixels in ``property``; None without that file.

    Raises:
        DataError: as for `RecordFile`; or images are missing in the index, a label is not an identity, ``property`` is
            malformed, or ``names.txt`` has another length.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = RecordFile(path)
        self._rows, self._identity_rows = _images_and_identities(self._file)
        self.labels = _identity_labels(self._file, self._rows)
        self.class_names = _read_names(path.parent / "names.txt", int(self.labels.max()) + 1)
        self.property_identities, self.property_size = _read_property(path.parent / "property")

    def read(self, index: int) -> bytes:
        """Return the encoded bytes of image ``index``.

        Raises:
            DataError: the record is damaged or cut short.
        """
        return self._file.image(self._rows[index])

    def location(self, index: int) -> str:
        """Return the ``.rec``, the key of the record, and its byte."""
        return self._file.location(self._rows[index])

    def image_name(self, index: int) -> str:
        """Return the person and the key of the record, as ``PERSON/KEY``."""
        return f"{self.class_names[self.labels[index]]}/{self._file.keys[self._rows[index]]}"

    @cached_property
    def identity_ranges(self) -> NDArray[np.int64]:
        """Content of the identity records: int64 [ids, 2], first key and last key + 1; [0, 2] if there are none.

        Raises:
            DataError: an identity record is damaged or has no range.
        """
        ranges = np.empty((len(self._identity_rows), 2), np.int64)
        for index, row in enumerate(self._identity_rows):
            ranges[index] = _integer_pair(self._file, row, "the range of a person's records")
        return ranges


def _images_and_identities(file: RecordFile) -> tuple[range, range]:
    """Return the rows of the image records and of the identity records."""
    rows = range(len(file))
    if file.keys[0] != 0:
        return rows, rows[:0]
    header, image = file.record(0)
    if not header.vector or image:
        return rows, rows[:0]
    end, _ = _integer_pair(file, 0, "the number of images")
    present = int(np.searchsorted(file.keys, end)) - 1
    if end <= 1:
        raise DataError(f"{file.location(0)} says that the set holds no image; pack the set again")
    if present != end - 1:
        expected = f"{file.path} promises {end - 1} images in record 0"
        raise DataError(
            f"{expected}, {file.index_path.name} lists {present}; copy both again from where they came from"
        )
    return rows[1:end], rows[end:]


def _integer_pair(file: RecordFile, row: int, meaning: str) -> tuple[int, int]:
    """Return the label of a record as two integers."""
    vector = file.record(row)[0].vector
    if len(vector) != 2 or not all(number.is_integer() and 0 <= number < 2**53 for number in vector):
        label = f"{file.location(row)} has the label {list(vector)[:4]}"
        raise DataError(f"{label}, two whole numbers are needed ({meaning}); pack the set again")
    return int(vector[0]), int(vector[1])


def _identity_labels(file: RecordFile, rows: range) -> NDArray[np.int64]:
    labels = file.labels(np.arange(rows.start, rows.stop))
    invalid = np.flatnonzero(~((labels >= 0) & (labels < MAX_EXACT_FLOAT32) & (labels == np.floor(labels))))
    if len(invalid):
        first = int(invalid[0])
        raise DataError(
            f"{file.location(rows[first])} has the label {labels[first]:g}, which is not an identity number "
            f"(0, 1, 2, …); {len(invalid)} of {len(rows)} images have such a label. Is it a face set? If so, pack it "
            "again from the images"
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
        identities, height, width = (int(number) for number in text.split(","))
    except ValueError:
        needed = "'identities,height,width' is needed; correct or remove it"
        raise DataError(f"{path} holds {text[:40]!r}, {needed}") from None
    return identities, (height, width)
