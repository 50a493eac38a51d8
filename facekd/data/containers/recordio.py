"""Reader of MXNet's RecordIO files; `facekd.data.containers.recordio_format` describes the format."""

from __future__ import annotations

import mmap
import os
import struct
import weakref
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facekd.data.containers.recordio_format import (
    COMPLETE,
    FIRST,
    FIXED_HEADER,
    LAST,
    MAGIC,
    MAGIC_NUMBER,
    MAX_RECORD_BYTES,
    MIDDLE,
    SEGMENT_PREFIX,
    RecordHeader,
)
from facekd.data.containers.recordio_index import read_index
from facekd.errors import DataError

LABEL_CHUNK = 4096
"""Number of records whose labels are read at once."""
_RECORD_START = struct.Struct("<4sII")  # magic number, word, length of the label vector
_LABELED_HEADER = struct.Struct(f"{FIXED_HEADER.format}f")  # with the first number of a vector label
_MAX_FAST_READ = 1 << 20  # bytes that RecordFile.image reads at once


class RecordFile:
    """A ``.rec`` with its ``.idx``. Reading is safe from many threads and keeps nothing of the ``.rec`` in memory.

    Methods take rows: positions in the index sorted by key.

    Args:
        path: the ``.rec``; the ``.idx`` has the same name.

    Attributes:
        path: the ``.rec``.
        index_path: the ``.idx``.
        keys: int64 [records], the keys in ascending order.
        offsets: int64 [records], the byte in the ``.rec`` at which each record begins.

    Raises:
        DataError: a file is missing or empty, or the index is malformed or points past the end of the ``.rec``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.index_path = path.with_suffix(".idx")
        self.keys, self.offsets = read_index(self.index_path)
        try:
            self._file = path.open("rb", buffering=0)
            weakref.finalize(self, self._file.close)
            self._size = len(self._mapped())
        except (OSError, ValueError) as error:  # ValueError: an empty file cannot be mapped
            raise DataError(f"{path} is missing, empty or unreadable ({error}); copy it again") from error
        last = int(self.offsets.argmax())
        if self.offsets[last] + SEGMENT_PREFIX.size > self._size:
            raise self._cut_short(last)

    def __len__(self) -> int:
        """Return the number of records."""
        return len(self.keys)

    def location(self, row: int) -> str:
        """Describe where a record is stored: the file, the key of the record, and the byte at which it begins."""
        return f"{self.path} record {self.keys[row]} (byte {self.offsets[row]})"

    def payload(self, row: int, limit: int | None = None) -> bytes:
        """Return the payload of a record, with its segments joined.

        Args:
            row: the record.
            limit: the number of bytes that are needed; the rest is not read.

        Raises:
            DataError: the file ends inside the record, no record begins where the index says, or the disk fails.
        """
        position = int(self.offsets[row])
        segments: list[bytes] = []
        total = 0
        while position + SEGMENT_PREFIX.size <= self._size:
            magic, word = SEGMENT_PREFIX.unpack(self._read(row, position, SEGMENT_PREFIX.size))
            kind = word >> 29
            length = word & MAX_RECORD_BYTES
            if magic != MAGIC or kind not in ((MIDDLE, LAST) if segments else (COMPLETE, FIRST)):
                raise self._damaged(row, "no record begins there")
            position += SEGMENT_PREFIX.size
            if position + length > self._size:
                break
            needed = length if limit is None else max(0, min(length, limit - total))
            segments.append(self._read(row, position, needed))
            total += needed
            if kind in (COMPLETE, LAST) or (limit is not None and total >= limit):
                return MAGIC.join(segments)
            total += len(MAGIC)
            position += length  # only a last segment is padded, the others end at a multiple of 4
        raise self._cut_short(row)

    def record(self, row: int) -> tuple[RecordHeader, bytes]:
        """Return the header of a record, and the encoded image after it.

        Raises:
            DataError: as for `payload`, or the record is too short for its header.
        """
        payload = self.payload(row)
        has_header = len(payload) >= FIXED_HEADER.size
        count, label, number, number2 = FIXED_HEADER.unpack_from(payload) if has_header else (0, 0.0, 0, 0)
        end = FIXED_HEADER.size + 4 * count
        if len(payload) < end:
            raise self._damaged(row, f"it holds {len(payload)} bytes, its header needs {end}")
        vector = struct.unpack_from(f"<{count}f", payload, FIXED_HEADER.size)
        return RecordHeader(label, number, number2, vector), payload[end:]

    def image(self, row: int) -> bytes:
        """Return the encoded image of a record, normally with a single read because training spends its time here.

        Raises:
            DataError: as for `record`.
        """
        begin = int(self.offsets[row])
        next_begin = int(self.offsets[row + 1]) if row + 1 < len(self.offsets) else self._size
        start = SEGMENT_PREFIX.size + FIXED_HEADER.size
        data = self._pread(row, begin, min(max(next_begin - begin, start), _MAX_FAST_READ))
        if len(data) >= start:
            magic, word, count = _RECORD_START.unpack_from(data)
            end = SEGMENT_PREFIX.size + (word & MAX_RECORD_BYTES)
            if magic == MAGIC and word >> 29 == COMPLETE and start + 4 * count <= end <= len(data):
                return data[start + 4 * count : end]
        return self.record(row)[1]  # several segments, not followed by the next row, or damaged

    def labels(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the label, or the first number of a vector label, of many records: int64 [n] to float32 [n].

        Raises:
            DataError: as for `record`.
        """
        starts = range(0, max(1, len(rows)), LABEL_CHUNK)
        return np.concatenate([self._labels(rows[start : start + LABEL_CHUNK]) for start in starts])

    def _labels(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Read labels straight from the mapped file, and check afterwards which records this is valid for.

        In 32-bit words, a record with one segment is: magic number, word, vector length, label, id (2), id2 (2), then
        the first number of a vector label.
        """
        words = np.frombuffer(self._mapped(), "<u4", count=self._size // 4)
        begin = self.offsets[rows] // 4
        last = len(words) - 1
        magic, word, count, label, first = (words[np.minimum(begin + step, last)] for step in (0, 1, 2, 3, 8))
        labels = np.where(count > 0, first, label).view(np.dtype("<f4"))
        valid = (magic == MAGIC_NUMBER) & (word >> 29 == COMPLETE) & (begin + 7 + (count > 0) <= last)
        valid &= (word & MAX_RECORD_BYTES) >= FIXED_HEADER.size + 4 * count.astype(np.int64)
        for position in np.flatnonzero(~valid).tolist():  # several segments, or damaged
            labels[position] = self._label(int(rows[position]))
        return labels

    def _label(self, row: int) -> float:
        """Return the label of one record with all checks.

        Of several segments no more than the label is read: many lines of an index may point to one large record.
        """
        _, word = SEGMENT_PREFIX.unpack(self._read(row, int(self.offsets[row]), SEGMENT_PREFIX.size))
        begin = self.payload(row, _LABELED_HEADER.size) if word >> 29 == FIRST else b""
        if len(begin) < _LABELED_HEADER.size:
            header, _ = self.record(row)
            return header.vector[0] if header.vector else header.label
        count, label, _, _, first = _LABELED_HEADER.unpack_from(begin)
        return float(first if count else label)

    def _mapped(self) -> mmap.mmap:
        """Map the file. Callers drop the map after use: pages that were read count as memory of the process."""
        return mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)

    def _read(self, row: int, start: int, count: int) -> bytes:
        data = self._pread(row, start, count)
        if len(data) < count:
            raise self._cut_short(row)
        return data

    def _pread(self, row: int, start: int, count: int) -> bytes:
        try:
            return os.pread(self._file.fileno(), count, start)
        except OSError as error:
            raise self._damaged(row, f"it cannot be read ({error.strerror})") from error

    def _cut_short(self, row: int) -> DataError:
        return self._damaged(row, f"the file ends inside or before it, at byte {self._size}")

    def _damaged(self, row: int, problem: str) -> DataError:
        cause = f"{self.path.name} is damaged or cut short, or {self.index_path.name} belongs to another file"
        return DataError(f"{self.location(row)}: {problem}. {cause}; copy both again from where they came from")
