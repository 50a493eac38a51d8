from __future__ import annotations

import random
import struct
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from facekd.data.containers.recordio import CHUNK, LONGEST, MAGIC, Header, RecordFile, RecordWriter, frame
from facekd.errors import DataError

WHOLE = bytes.fromhex(
    "0a23d7ce 1d000000"  # magic; kind 0, 29 bytes
    "00000000 00004040 0700000000000000 0000000000000000"  # flag 0, label 3.0, id 7, id2 0
    "6162636465 000000"  # 'abcde', three zeros up to a multiple of 4
)
SPLIT = bytes.fromhex(
    "0a23d7ce 1c000020"  # magic; kind 1, 28 bytes
    "00000000 00004040 0700000000000000 0000000000000000 5758595a"  # header, 'WXYZ'
    "0a23d7ce 00000040"  # magic; kind 2, nothing between two magic numbers
    "0a23d7ce 02000060 3132 0000"  # magic; kind 3, '12', padding
)
VECTOR = bytes.fromhex(
    "0a23d7ce 20000000"  # magic; kind 0, 32 bytes
    "02000000 00000000 0500000000000000 0900000000000000"  # flag 2, label 0, id 5, id2 9
    "0000803f 000020c0"  # 1.0, -2.5
)


def write(path: Path, records: list[tuple[int, Header, bytes]]) -> Path:
    with path.open("wb") as rec, path.with_suffix(".idx").open("w") as idx:
        writer = RecordWriter(rec, idx)
        for key, header, image in records:
            writer.write(key, header, image)
    return path


@pytest.fixture
def three(tmp_path: Path) -> Path:
    return write(tmp_path / "a.rec", [(key, Header(float(key), key), bytes([key]) * 10) for key in range(3)])


@pytest.mark.parametrize(
    ("record", "header", "image"),
    [
        (WHOLE, Header(3.0, 7), b"abcde"),
        (SPLIT, Header(3.0, 7), b"WXYZ" + MAGIC + MAGIC + b"12"),
        (VECTOR, Header(0.0, 5, 9, (1.0, -2.5)), b""),
    ],
    ids=["whole", "split", "vector"],
)
def test_record_typed_from_the_formats_definition(tmp_path: Path, record: bytes, header: Header, image: bytes) -> None:
    assert frame(header.pack() + image) == record
    (tmp_path / "a.rec").write_bytes(record)
    (tmp_path / "a.idx").write_text("7\t0\n")
    assert RecordFile(tmp_path / "a.rec").record(0) == (header, image)


def payloads(count: int) -> list[bytes]:
    """Random bytes with the magic number strewn in, at the start, at the end, aligned and not, in rows."""
    rng = random.Random(3)
    pieces = [MAGIC, MAGIC, MAGIC[:3], MAGIC[1:], b"", b"\0", b"ab", b"xyz", b"wxyz", bytes(range(29))]
    return [b"".join(rng.choices(pieces, k=rng.randint(0, 12))) for _ in range(count)]


def decode_all(data: bytes) -> list[bytes]:
    """The container read from front to back, without index, word by word: a second implementation."""
    found, current, place = [], bytearray(), 0
    while place < len(data):
        assert data[place : place + 4] == b"\x0a\x23\xd7\xce"
        (word,) = struct.unpack("<I", data[place + 4 : place + 8])
        kind, length = divmod(word, 2**29)
        if kind in (2, 3):
            current += b"\x0a\x23\xd7\xce"
        current += data[place + 8 : place + 8 + length]
        place += 8 + (length + 3) // 4 * 4
        if kind in (0, 3):
            found.append(bytes(current))
            current = bytearray()
    return found


def test_writer_agrees_with_a_second_decoder() -> None:
    written = payloads(400)
    assert decode_all(b"".join(frame(payload) for payload in written)) == written


def test_no_part_holds_the_magic_number_aligned() -> None:
    for payload in payloads(400):
        record = frame(payload)
        marks = [at for at in range(0, len(record), 4) if record[at : at + 4] == MAGIC]
        inside = [at for at in range(0, len(payload) - 3, 4) if payload[at : at + 4] == MAGIC]
        assert len(marks) == len(inside) + 1


def test_reader_agrees_with_the_writer(tmp_path: Path) -> None:
    written = payloads(400)
    file = RecordFile(write(tmp_path / "a.rec", [(k, Header(1.0, k), image) for k, image in enumerate(written)]))
    assert [file.record(row)[1] for row in range(len(file))] == written


def test_payload_too_long_is_refused() -> None:
    with pytest.raises(DataError, match="too long"):
        frame(bytes(LONGEST + 1))


def test_reading_from_threads_gives_the_same(tmp_path: Path) -> None:
    written = payloads(200)
    file = RecordFile(write(tmp_path / "a.rec", [(k, Header(1.0, k), image) for k, image in enumerate(written)]))
    with ThreadPoolExecutor(8) as pool:
        assert [image for _, image in pool.map(file.record, list(range(200)) * 5)] == written * 5


def test_labels_of_numbers_vectors_and_split_records(tmp_path: Path) -> None:
    odd = struct.unpack("<f", MAGIC)[0]  # a label whose bytes are the magic number: the header itself is split
    headers = [Header(7.0, 0), Header(0.0, 1, vector=(4.0, 9.0)), Header(0.0, 2, vector=(odd, 1.0)), Header(2.0, 3)]
    images = [b"", b"", b"", MAGIC * 3]
    file = RecordFile(write(tmp_path / "a.rec", list(zip(range(4), headers, images, strict=True))))
    np.testing.assert_array_equal(file.labels(np.array([3, 2, 1, 0])), np.array([2.0, odd, 4.0, 7.0], np.float32))


def test_keys_come_in_ascending_order(tmp_path: Path) -> None:
    file = RecordFile(write(tmp_path / "a.rec", [(k, Header(float(k), k), b"") for k in (5, 1, 3)]))
    assert [(int(file.keys[row]), file.record(row)[0].id) for row in range(3)] == [(1, 1), (3, 3), (5, 5)]


def test_file_cut_inside_the_last_record_names_record_and_byte(three: Path) -> None:
    three.write_bytes(three.read_bytes()[:-8])
    with pytest.raises(DataError, match=r"a\.rec record 2 \(byte 88\): the file ends inside.*at byte 124.*copy both"):
        RecordFile(three).record(2)


def test_file_cut_inside_the_last_record_leaves_the_others_readable(three: Path) -> None:
    three.write_bytes(three.read_bytes()[:-8])
    assert RecordFile(three).record(1)[1] == b"\x01" * 10


def test_file_cut_inside_a_header_is_refused_by_labels(three: Path) -> None:
    three.write_bytes(three.read_bytes()[:100])
    with pytest.raises(DataError, match="record 2 "):
        RecordFile(three).labels(np.arange(3))


def test_index_past_the_end_is_refused(three: Path) -> None:
    three.with_suffix(".idx").write_text("0\t0\n1\t4400\n")
    with pytest.raises(DataError, match=r"record 1 \(byte 4400\): the file ends.*at byte 132"):
        RecordFile(three)


@pytest.mark.parametrize("offset", [4, 8, 47])
def test_offset_at_which_no_record_begins_is_refused(three: Path, offset: int) -> None:
    three.with_suffix(".idx").write_text(f"0\t{offset}\n")
    with pytest.raises(DataError, match="no record begins there"):
        RecordFile(three).record(0)


def test_middle_part_is_no_beginning(tmp_path: Path) -> None:
    (tmp_path / "a.rec").write_bytes(SPLIT)
    (tmp_path / "a.idx").write_text("0\t36\n")
    with pytest.raises(DataError, match="no record begins there"):
        RecordFile(tmp_path / "a.rec").payload(0)


def test_first_part_without_a_last_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.rec").write_bytes(SPLIT[:36] + WHOLE)
    (tmp_path / "a.idx").write_text("0\t0\n")
    with pytest.raises(DataError, match="no record begins there"):
        RecordFile(tmp_path / "a.rec").payload(0)


def test_record_shorter_than_its_header_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.rec").write_bytes(frame(Header(0.0, 0, vector=(1.0,)).pack()[:-4]))
    (tmp_path / "a.idx").write_text("0\t0\n")
    with pytest.raises(DataError, match="holds 24 bytes, its header needs 28"):
        RecordFile(tmp_path / "a.rec").record(0)


def test_disk_that_fails_is_told_with_the_record(three: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = RecordFile(three)

    def fail(*_: object) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("os.pread", fail)
    for read in (file.record, file.image):
        with pytest.raises(DataError, match=r"record 1 \(byte 44\): it cannot be read \(Input/output error\)"):
            read(1)


def test_labels_of_more_records_than_are_looked_up_at_once(tmp_path: Path) -> None:
    count = 2 * CHUNK + 1
    file = RecordFile(write(tmp_path / "a.rec", [(k, Header(float(k % 97), k), b"") for k in range(count)]))
    np.testing.assert_array_equal(file.labels(np.arange(count)), np.arange(count) % 97)


@pytest.mark.parametrize("line", ["2", "2\tx", "2\t-4", "2 4 6", "2\t" + "9" * 30, "2.5\t4", "\x00\x01"])
def test_malformed_index_line_is_named(three: Path, line: str) -> None:
    three.with_suffix(".idx").write_text(f"0\t0\n1\t44\n{line}\n")
    with pytest.raises(DataError, match=r"a\.idx, line 3: .* is not 'key, tab, offset'"):
        RecordFile(three)


def test_repeated_key_is_refused(three: Path) -> None:
    three.with_suffix(".idx").write_text("0\t0\n1\t44\n1\t88\n")
    with pytest.raises(DataError, match="lists record 1 twice"):
        RecordFile(three)


@pytest.mark.parametrize("suffix", [".rec", ".idx"])
@pytest.mark.parametrize("empty", [True, False])
def test_missing_or_empty_file_is_named(three: Path, suffix: str, empty: bool) -> None:
    three.with_suffix(suffix).unlink()
    if empty:
        three.with_suffix(suffix).touch()
    with pytest.raises(DataError, match=f"{three.with_suffix(suffix)} is missing"):
        RecordFile(three)
