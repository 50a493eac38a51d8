"""The binary format of MXNet's RecordIO container (a ``.rec`` file with its ``.idx``), and its writer.

A record consists of one or more segments, each ``magic (4 bytes), word (4 bytes), data, zeros up to a multiple of 4``,
all little endian. The low 29 bits of the word are the length of the data, the bits above them are the kind of the
segment. Where the payload contains the magic number at a multiple of 4 bytes, the writer ends a segment and leaves the
magic number out; the reader inserts it again. So the magic number at a multiple of 4 bytes always begins a segment.

The payload of an image record is a header (MXNet's IRHeader) and the encoded image.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO, TextIO

from facekd.errors import DataError

MAGIC_NUMBER = 0xCED7230A
MAGIC = struct.pack("<I", MAGIC_NUMBER)
MAX_RECORD_BYTES = (1 << 29) - 1
"""Largest size of a record, header included: the length field has 29 bits. It is also the mask of the length field."""

COMPLETE = 0
FIRST = 1
MIDDLE = 2
LAST = 3
"""The four kinds of segments: the only one of its record, or its first, a middle, or its last one."""

SEGMENT_PREFIX = struct.Struct("<4sI")
"""Magic number and word at the beginning of a segment."""
FIXED_HEADER = struct.Struct("<IfQQ")
"""The part of the image header with a fixed size: length of the label vector, label, id, second id."""


@dataclass(frozen=True)
class RecordHeader:
    """The header before the image in a record (MXNet's IRHeader, whose ``flag`` is the length of ``vector``).

    Attributes:
        label: the label, if it is a single number; 0 if ``vector`` is used.
        id: the number of the record, as counted by its writer.
        id2: a second number that face sets do not use.
        vector: the label, if it consists of several numbers; otherwise empty.
    """

    label: float
    id: int
    id2: int = 0
    vector: tuple[float, ...] = ()

    def pack(self) -> bytes:
        """Return the header as it is stored; labels become float32."""
        count = len(self.vector)
        return FIXED_HEADER.pack(count, self.label, self.id, self.id2) + struct.pack(f"<{count}f", *self.vector)


def frame_record(payload: bytes) -> bytes:
    """Return one record as it is stored in a ``.rec``, split into segments where the payload contains the magic number.

    Raises:
        DataError: the payload is too long for the format.
    """
    if len(payload) > MAX_RECORD_BYTES:
        limit = f"RecordIO allows {MAX_RECORD_BYTES}"
        raise DataError(f"a record of {len(payload)} bytes is too long ({limit}); use smaller images")
    segments = []
    start = 0
    position = payload.find(MAGIC)
    while position >= 0:
        if position % 4 == 0:
            segments.append(payload[start:position])
            start = position + 4
        position = payload.find(MAGIC, position + 1)
    segments.append(payload[start:])
    kinds = [COMPLETE] if len(segments) == 1 else [FIRST, *[MIDDLE] * (len(segments) - 2), LAST]
    framed = [
        SEGMENT_PREFIX.pack(MAGIC, kind << 29 | len(segment)) + segment
        for kind, segment in zip(kinds, segments, strict=True)
    ]
    # All segments but the last end at a multiple of 4, and so does each magic number that was left out.
    return b"".join(framed) + bytes(-len(payload) % 4)


class RecordWriter:
    """Writes records to a ``.rec`` and their offsets to an ``.idx``. The caller opens and closes both files.

    Args:
        records: the open ``.rec``.
        index: the open ``.idx``.
    """

    def __init__(self, records: BinaryIO, index: TextIO) -> None:
        self._records = records
        self._index = index
        self._offset = 0

    def write(self, key: int, header: RecordHeader, image: bytes = b"") -> None:
        """Append a record, and its line ``key, tab, offset`` to the index."""
        record = frame_record(header.pack() + image)
        self._records.write(record)
        self._index.write(f"{key}\t{self._offset}\n")
        self._offset += len(record)
