"""MXNet's RecordIO container: framed records in a ``.rec``, an index beside it, an image header in each record.

A record is one or more parts, each ``magic (4 bytes), word (4 bytes), data, zeros up to a multiple of 4``, all little
endian; the word holds the data's length in its low 29 bits and the part's kind above them. Where the payload holds the
magic number at a multiple of 4 bytes, the writer ends a part there and leaves the magic out; the reader puts it back.
"""

from __future__ import annotations

import mmap
import os
import struct
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TextIO

import numpy as np
from numpy.typing import NDArray

from facekd.data.containers.recordio_index import read_index
from facekd.errors import DataError

_MAGIC_WORD = 0xCED7230A
MAGIC = struct.pack("<I", _MAGIC_WORD)
LONGEST = (1 << 29) - 1
"""Bytes a record can hold, header included: the length field has 29 bits."""

_WHOLE, _FIRST, _MIDDLE, _LAST = range(4)
_FRAME = struct.Struct("<4sI")
_HEADER = struct.Struct("<IfQQ")
_BEGIN = struct.Struct("<4sII")
_MUCH = 1 << 20
CHUNK = 4096  # records whose labels are looked up at once


@dataclass(frozen=True)
class Header:
    """What stands before the image in a record (MXNet's IRHeader; its ``flag`` is the length of ``vector``).

    Attributes:
        label: the label where it is one number; 0 beside a vector.
        id: number of the record, as its writer counted.
        id2: second number, unused by face sets.
        vector: the label where it is several numbers, otherwise empty.
    """

    label: float
    id: int
    id2: int = 0
    vector: tuple[float, ...] = ()

    def pack(self) -> bytes:
        """The header as it lies in the file; labels become float32."""
        count = len(self.vector)
        return _HEADER.pack(count, self.label, self.id, self.id2) + struct.pack(f"<{count}f", *self.vector)


def frame(payload: bytes) -> bytes:
    """One record as it lies in the ``.rec``, split in parts where the payload holds the magic number.

    Raises:
        DataError: the payload is too long for the format.
    """
    if len(payload) > LONGEST:
        raise DataError(f"a record of {len(payload)} bytes is too long (RecordIO allows {LONGEST}); use smaller images")
    parts, start, found = [], 0, payload.find(MAGIC)
    while found >= 0:
        if found % 4 == 0:
            parts.append(payload[start:found])
            start = found + 4
        found = payload.find(MAGIC, found + 1)
    parts.append(payload[start:])
    kinds = [_WHOLE] if len(parts) == 1 else [_FIRST, *[_MIDDLE] * (len(parts) - 2), _LAST]
    framed = [_FRAME.pack(MAGIC, kind << 29 | len(part)) + part for kind, part in zip(kinds, parts, strict=True)]
    return b"".join(framed) + bytes(-len(payload) % 4)


class RecordWriter:
    """Writes records to an open ``.rec`` and their places to an open ``.idx``; the caller closes both."""

    def __init__(self, records: BinaryIO, index: TextIO) -> None:
        self._records, self._index, self._offset = records, index, 0

    def write(self, key: int, header: Header, image: bytes = b"") -> None:
        """Append a record and the index line ``key, tab, offset``."""
        record = frame(header.pack() + image)
        self._records.write(record)
        self._index.write(f"{key}\t{self._offset}\n")
        self._offset += len(record)


class RecordFile:
    """A ``.rec`` with its ``.idx``; safe to read from many threads, and of the ``.rec`` nothing stays in memory.

    Attributes:
        path: the ``.rec``.
        index: the ``.idx``.
        keys: int64 [records], ascending; a record's row here is what the methods take.
        offsets: int64 [records], the byte in the ``.rec`` at which each record begins.

    Raises:
        DataError: a file is missing or empty, the index is malformed or points past the end of the ``.rec``.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.index = path, path.with_suffix(".idx")
        self.keys, self.offsets = read_index(self.index)
        try:
            self._file = path.open("rb", buffering=0)
            weakref.finalize(self, self._file.close)
            self._size = len(self._mapped())
        except (OSError, ValueError) as problem:  # ValueError: an empty file cannot be mapped
            raise DataError(f"{path} is missing, empty or unreadable ({problem}); copy it again") from problem
        last = int(self.offsets.argmax())
        if self.offsets[last] + _FRAME.size > self._size:
            raise self._cut_short(last)

    def __len__(self) -> int:
        """Number of records."""
        return len(self.keys)

    def where(self, row: int) -> str:
        """The file, the record's key and the byte at which it begins."""
        return f"{self.path} record {self.keys[row]} (byte {self.offsets[row]})"

    def payload(self, row: int) -> bytes:
        """Everything in a record, its parts joined.

        Raises:
            DataError: the file ends inside the record, no record begins where the index says, or the disk fails.
        """
        begin, parts = int(self.offsets[row]), list[bytes]()
        while begin + _FRAME.size <= self._size:
            magic, word = _FRAME.unpack(self._read(row, begin, _FRAME.size))
            kind, length = word >> 29, word & LONGEST
            if magic != MAGIC or kind not in ((_MIDDLE, _LAST) if parts else (_WHOLE, _FIRST)):
                raise self._damaged(row, "no record begins there")
            begin += _FRAME.size
            if begin + length > self._size:
                break
            parts.append(self._read(row, begin, length))
            if kind in (_WHOLE, _LAST):
                return MAGIC.join(parts)
            begin += length  # only a last part is padded, the others end at a multiple of 4
        raise self._cut_short(row)

    def record(self, row: int) -> tuple[Header, bytes]:
        """A record's header and the encoded image after it.

        Raises:
            DataError: as `payload`, or the record is too short for its header.
        """
        payload = self.payload(row)
        count, label, number, number2 = _HEADER.unpack_from(payload) if len(payload) >= _HEADER.size else (0, 0.0, 0, 0)
        end = _HEADER.size + 4 * count
        if len(payload) < end:
            raise self._damaged(row, f"it holds {len(payload)} bytes, its header needs {end}")
        vector = struct.unpack_from(f"<{count}f", payload, _HEADER.size)
        return Header(label, number, number2, vector), payload[end:]

    def image(self, row: int) -> bytes:
        """The encoded image of a record, where all goes well in one read; training spends its time here.

        Raises:
            DataError: as `record`.
        """
        begin = int(self.offsets[row])
        after = int(self.offsets[row + 1]) if row + 1 < len(self.offsets) else self._size
        start = _FRAME.size + _HEADER.size
        data = self._pread(row, begin, min(max(after - begin, start), _MUCH))
        if len(data) >= start:
            magic, word, count = _BEGIN.unpack_from(data)
            end = _FRAME.size + (word & LONGEST)
            if magic == MAGIC and word >> 29 == _WHOLE and start + 4 * count <= end <= len(data):
                return data[start + 4 * count : end]
        return self.record(row)[1]  # in parts, not followed by the next one, or damaged

    def labels(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """The label, or the first component of a vector label, of many records: int64 rows [n] to float32 [n].

        Raises:
            DataError: as `record`.
        """
        starts = range(0, max(1, len(rows)), CHUNK)
        return np.concatenate([self._labels(rows[start : start + CHUNK]) for start in starts])

    def _labels(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        words = np.frombuffer(self._mapped(), "<u4", count=self._size // 4)
        begin, last = self.offsets[rows] // 4, len(words) - 1
        magic, word, count, label, first = (words[np.minimum(begin + step, last)] for step in (0, 1, 2, 3, 8))
        labels = np.where(count > 0, first, label).view(np.dtype("<f4"))
        whole = (magic == _MAGIC_WORD) & (word >> 29 == _WHOLE) & (begin + 7 + (count > 0) <= last)
        whole &= (word & LONGEST) >= _HEADER.size + 4 * count.astype(np.int64)
        for position in np.flatnonzero(~whole).tolist():  # in parts, or damaged: read with every check
            header, _ = self.record(int(rows[position]))
            labels[position] = header.vector[0] if header.vector else header.label
        return labels

    def _mapped(self) -> mmap.mmap:
        """The file in memory, for a short while: what is read of it counts as ours."""
        return mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)

    def _read(self, row: int, start: int, count: int) -> bytes:
        data = self._pread(row, start, count)
        if len(data) < count:
            raise self._cut_short(row)
        return data

    def _pread(self, row: int, start: int, count: int) -> bytes:
        try:
            return os.pread(self._file.fileno(), count, start)
        except OSError as problem:
            raise self._damaged(row, f"it cannot be read ({problem.strerror})") from problem

    def _cut_short(self, row: int) -> DataError:
        return self._damaged(row, f"the file ends inside or before it, at byte {self._size}")

    def _damaged(self, row: int, what: str) -> DataError:
        cause = f"{self.path.name} is damaged or cut short, or {self.index.name} belongs to another file"
        return DataError(f"{self.where(row)}: {what}. {cause}; copy both again from where they came from")
