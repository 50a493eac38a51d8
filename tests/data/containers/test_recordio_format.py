from __future__ import annotations

import io
import struct

import pytest

from facekd.data.containers.recordio_format import MAGIC, MAX_RECORD_BYTES, RecordHeader, RecordWriter, frame_record
from facekd.errors import DataError
from tests.data.containers.recordio_samples import COMPLETE, SPLIT, VECTOR, random_payloads


@pytest.mark.parametrize(
    ("record", "header", "image"),
    [
        (COMPLETE, RecordHeader(3.0, 7), b"abcde"),
        (SPLIT, RecordHeader(3.0, 7), b"WXYZ" + MAGIC + MAGIC + b"12"),
        (VECTOR, RecordHeader(0.0, 5, 9, (1.0, -2.5)), b""),
    ],
    ids=["complete", "split", "vector"],
)
def test_a_record_is_written_as_the_format_defines(record: bytes, header: RecordHeader, image: bytes) -> None:
    assert frame_record(header.pack() + image) == record


def decode_all(data: bytes) -> list[bytes]:
    """Read a container from front to back without an index, word by word: a second implementation."""
    payloads = []
    current = bytearray()
    position = 0
    while position < len(data):
        assert data[position : position + 4] == b"\x0a\x23\xd7\xce"
        (word,) = struct.unpack("<I", data[position + 4 : position + 8])
        kind, length = divmod(word, 2**29)
        if kind in (2, 3):
            current += b"\x0a\x23\xd7\xce"
        current += data[position + 8 : position + 8 + length]
        position += 8 + (length + 3) // 4 * 4
        if kind in (0, 3):
            payloads.append(bytes(current))
            current = bytearray()
    return payloads


def test_writer_agrees_with_a_second_decoder() -> None:
    payloads = random_payloads(400)
    assert decode_all(b"".join(frame_record(payload) for payload in payloads)) == payloads


def test_no_segment_holds_the_magic_number_aligned() -> None:
    for payload in random_payloads(400):
        record = frame_record(payload)
        marks = [at for at in range(0, len(record), 4) if record[at : at + 4] == MAGIC]
        inside = [at for at in range(0, len(payload) - 3, 4) if payload[at : at + 4] == MAGIC]
        assert len(marks) == len(inside) + 1


def test_payload_too_long_is_refused() -> None:
    with pytest.raises(DataError, match="too long"):
        frame_record(bytes(MAX_RECORD_BYTES + 1))


def test_the_writer_lists_where_each_record_begins() -> None:
    records, index = io.BytesIO(), io.StringIO()
    writer = RecordWriter(records, index)
    for key, image in ((0, b"abcde"), (7, b""), (3, b"x" * 9)):
        writer.write(key, RecordHeader(1.0, key), image)
    lines = [line.split("\t") for line in index.getvalue().splitlines()]
    assert [key for key, _ in lines] == ["0", "7", "3"]
    for _, offset in lines:
        assert records.getvalue()[int(offset) :].startswith(MAGIC)
    assert [int(offset) for _, offset in lines] == [0, 40, 72]
