"""MXNet's RecordIO container: framed records in a ``.rec``, an index beside it, an image header in each record.

A record is one or more parts, each ``magic (4 bytes), word (4 bytes), data, zeros up to a multiple of 4``, all little
endian; the word holds the data's length in its low 29 bits and the part's kind above them. Where the payload holds the
magic number at a multiple of 4 bytes, the writer ends a part there and leaves the magic out; the reader puts it back.
"""

from __future__ import annotations

import mmap
import re
import struct
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TextIO

import numpy as np
from numpy.typing import NDArray

from facekd.errors import DataError

_MAGIC_WORD = 0xCED7230A
MAGIC = struct.pack("<I", _MAGIC_WORD)
LONGEST = (1 << 29) - 1
"""Bytes a record can hold, header included: the length field has 29 bits."""

_WHOLE, _FIRST, _MIDDLE, _LAST = range(4)
_FRAME = struct.Struct("<4sI")
_HEADER = struct.Struct("<IfQQ")
_INDEX_LINE = re.compile(r"\s*\d{1,18}\s+\d{1,18}\s*")


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
    """A ``.rec`` with its ``.idx``, mapped into memory; safe to read from many threads.

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
        self.keys, self.offsets = _read_index(self.index)
        try:
            with path.open("rb") as handle:
                self._map = mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as problem:  # ValueError: an empty file cannot be mapped
            raise DataError(f"{path} is missing, empty or unreadable ({problem}); copy it again") from problem
        self._words: NDArray[np.uint32] = np.frombuffer(self._map, "<u4", count=len(self._map) // 4)
        last = int(self.offsets.argmax())
        if self.offsets[last] + _FRAME.size > len(self._map):
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
            DataError: the file ends inside the record, or no record begins where the index says.
        """
        begin, parts = int(self.offsets[row]), list[bytes]()
        while begin + _FRAME.size <= len(self._map):
            magic, word = _FRAME.unpack_from(self._map, begin)
            kind, length = word >> 29, word & LONGEST
            if magic != MAGIC or kind not in ((_MIDDLE, _LAST) if parts else (_WHOLE, _FIRST)):
                raise self._damaged(row, "no record begins there")
            begin += _FRAME.size
            if begin + length > len(self._map):
                break
            parts.append(self._map[begin : begin + length])
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

    def labels(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """The label, or the first component of a vector label, of many records: int64 rows [n] to float32 [n].

        Raises:
            DataError: as `record`.
        """
        begin, last = self.offsets[rows] // 4, len(self._words) - 1
        magic, word, count, label, first = (self._words[np.minimum(begin + step, last)] for step in (0, 1, 2, 3, 8))
        labels = np.where(count > 0, first, label).view(np.dtype("<f4"))
        whole = (magic == _MAGIC_WORD) & (word >> 29 == _WHOLE) & (begin + 7 + (count > 0) <= last)
        whole &= (word & LONGEST) >= _HEADER.size + 4 * count.astype(np.int64)
        for position in np.flatnonzero(~whole).tolist():  # in parts, or damaged: read with every check
            header, _ = self.record(int(rows[position]))
            labels[position] = header.vector[0] if header.vector else header.label
        return labels

    def _cut_short(self, row: int) -> DataError:
        return self._damaged(row, f"the file ends inside or before it, at byte {len(self._map)}")

    def _damaged(self, row: int, what: str) -> DataError:
        cause = f"{self.path.name} is damaged or cut short, or {self.index.name} belongs to another file"
        return DataError(f"{self.where(row)}: {what}. {cause}; copy both again from where they came from")


def _read_index(path: Path) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Keys (ascending) and offsets from lines ``key, tab, offset``."""
    if not path.is_file() or path.stat().st_size == 0:
        raise DataError(f"{path} is missing or empty; copy it from where the .rec came from")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", DeprecationWarning)  # numpy before 2.3 only warns that it cut 2.5 to 2
            table = np.loadtxt(path, np.int64, comments=None, ndmin=2, encoding="latin-1")
    except (ValueError, OverflowError, DeprecationWarning):
        table = np.zeros((0, 0), np.int64)
    if table.shape[1:] != (2,) or table.min() < 0:
        lines = path.read_text(encoding="latin-1").splitlines()
        number, line = next(((n, text) for n, text in enumerate(lines, 1) if not _INDEX_LINE.fullmatch(text)), (1, ""))
        raise DataError(f"{path}, line {number}: {line[:40]!r} is not 'key, tab, offset' in numbers; copy it again")
    keys, offsets = np.ascontiguousarray(table[table[:, 0].argsort(kind="stable")].T)
    repeated = np.flatnonzero(keys[1:] == keys[:-1])
    if len(repeated):
        raise DataError(f"{path} lists record {keys[repeated[0]]} twice ({len(repeated)} repeats); copy it again")
    return keys, offsets
