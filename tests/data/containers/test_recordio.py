from __future__ import annotations

import struct
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from facekd.data.containers.recordio import LABEL_CHUNK, RecordFile
from facekd.data.containers.recordio_format import MAGIC, RecordHeader, frame_record
from facekd.errors import DataError
from tests.data.containers.recordio_samples import COMPLETE, SPLIT, VECTOR, random_payloads, write_records


@pytest.fixture
def three_records(tmp_path: Path) -> Path:
    records = [(key, RecordHeader(float(key), key), bytes([key]) * 10) for key in range(3)]
    return write_records(tmp_path / "a.rec", records)


@pytest.mark.parametrize(
    ("record", "header", "image"),
    [
        (COMPLETE, RecordHeader(3.0, 7), b"abcde"),
        (SPLIT, RecordHeader(3.0, 7), b"WXYZ" + MAGIC + MAGIC + b"12"),
        (VECTOR, RecordHeader(0.0, 5, 9, (1.0, -2.5)), b""),
    ],
    ids=["complete", "split", "vector"],
)
def test_a_record_typed_from_the_formats_definition_is_read(
    tmp_path: Path, record: bytes, header: RecordHeader, image: bytes
) -> None:
    (tmp_path / "a.rec").write_bytes(record)
    (tmp_path / "a.idx").write_text("7\t0\n")
    assert RecordFile(tmp_path / "a.rec").record(0) == (header, image)


def test_reader_agrees_with_the_writer(tmp_path: Path) -> None:
    images = random_payloads(400)
    records = [(key, RecordHeader(1.0, key), image) for key, image in enumerate(images)]
    file = RecordFile(write_records(tmp_path / "a.rec", records))
    assert [file.record(row)[1] for row in range(len(file))] == images


def test_reading_from_threads_gives_the_same(tmp_path: Path) -> None:
    images = random_payloads(200)
    records = [(key, RecordHeader(1.0, key), image) for key, image in enumerate(images)]
    file = RecordFile(write_records(tmp_path / "a.rec", records))
    with ThreadPoolExecutor(8) as pool:
        assert [image for _, image in pool.map(file.record, list(range(200)) * 5)] == images * 5


def test_labels_of_numbers_vectors_and_split_records(tmp_path: Path) -> None:
    magic_label = struct.unpack("<f", MAGIC)[0]  # a label whose bytes are the magic number: the header itself is split
    headers = [
        RecordHeader(7.0, 0),
        RecordHeader(0.0, 1, vector=(4.0, 9.0)),
        RecordHeader(0.0, 2, vector=(magic_label, 1.0)),
        RecordHeader(2.0, 3),
    ]
    images = [b"", b"", b"", MAGIC * 3]
    file = RecordFile(write_records(tmp_path / "a.rec", list(zip(range(4), headers, images, strict=True))))
    expected = np.array([2.0, magic_label, 4.0, 7.0], np.float32)
    np.testing.assert_array_equal(file.labels(np.array([3, 2, 1, 0])), expected)


def test_keys_come_in_ascending_order(tmp_path: Path) -> None:
    file = RecordFile(write_records(tmp_path / "a.rec", [(k, RecordHeader(float(k), k), b"") for k in (5, 1, 3)]))
    assert [(int(file.keys[row]), file.record(row)[0].id) for row in range(3)] == [(1, 1), (3, 3), (5, 5)]


def test_file_cut_inside_the_last_record_names_record_and_byte(three_records: Path) -> None:
    three_records.write_bytes(three_records.read_bytes()[:-8])
    with pytest.raises(DataError, match=r"a\.rec record 2 \(byte 88\): the file ends inside.*at byte 124.*copy both"):
        RecordFile(three_records).record(2)


def test_file_cut_inside_the_last_record_leaves_the_others_readable(three_records: Path) -> None:
    three_records.write_bytes(three_records.read_bytes()[:-8])
    assert RecordFile(three_records).record(1)[1] == b"\x01" * 10


def test_file_cut_inside_a_header_is_refused_by_labels(three_records: Path) -> None:
    three_records.write_bytes(three_records.read_bytes()[:100])
    with pytest.raises(DataError, match="record 2 "):
        RecordFile(three_records).labels(np.arange(3))


def test_index_past_the_end_is_refused(three_records: Path) -> None:
    three_records.with_suffix(".idx").write_text("0\t0\n1\t4400\n")
    with pytest.raises(DataError, match=r"record 1 \(byte 4400\): the file ends.*at byte 132"):
        RecordFile(three_records)


@pytest.mark.parametrize("offset", [4, 8, 47])
def test_offset_at_which_no_record_begins_is_refused(three_records: Path, offset: int) -> None:
    three_records.with_suffix(".idx").write_text(f"0\t{offset}\n")
    with pytest.raises(DataError, match="no record begins there"):
        RecordFile(three_records).record(0)


def test_middle_part_is_no_beginning(tmp_path: Path) -> None:
    (tmp_path / "a.rec").write_bytes(SPLIT)
    (tmp_path / "a.idx").write_text("0\t36\n")
    with pytest.raises(DataError, match="no record begins there"):
        RecordFile(tmp_path / "a.rec").payload(0)


def test_first_part_without_a_last_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.rec").write_bytes(SPLIT[:36] + COMPLETE)
    (tmp_path / "a.idx").write_text("0\t0\n")
    with pytest.raises(DataError, match="no record begins there"):
        RecordFile(tmp_path / "a.rec").payload(0)


def test_record_shorter_than_its_header_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.rec").write_bytes(frame_record(RecordHeader(0.0, 0, vector=(1.0,)).pack()[:-4]))
    (tmp_path / "a.idx").write_text("0\t0\n")
    with pytest.raises(DataError, match="holds 24 bytes, its header needs 28"):
        RecordFile(tmp_path / "a.rec").record(0)


def test_a_disk_error_names_the_record(three_records: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = RecordFile(three_records)

    def fail(*_: object) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("os.pread", fail)
    for read in (file.record, file.image):
        with pytest.raises(DataError, match=r"record 1 \(byte 44\): it cannot be read \(Input/output error\)"):
            read(1)


def test_labels_of_more_records_than_are_looked_up_at_once(tmp_path: Path) -> None:
    count = 2 * LABEL_CHUNK + 1
    records = [(key, RecordHeader(float(key % 97), key), b"") for key in range(count)]
    file = RecordFile(write_records(tmp_path / "a.rec", records))
    np.testing.assert_array_equal(file.labels(np.arange(count)), np.arange(count) % 97)


@pytest.mark.parametrize("suffix", [".rec", ".idx"])
@pytest.mark.parametrize("empty", [True, False])
def test_missing_or_empty_file_is_named(three_records: Path, suffix: str, empty: bool) -> None:
    three_records.with_suffix(suffix).unlink()
    if empty:
        three_records.with_suffix(suffix).touch()
    with pytest.raises(DataError, match=f"{three_records.with_suffix(suffix)} is missing"):
        RecordFile(three_records)


def test_labels_of_records_in_segments_are_read_without_their_images(tmp_path: Path) -> None:
    """Many lines of an index may point to one large record; reading it for each of them took hours."""
    image = MAGIC + bytes(4_000_000)
    record = frame_record(RecordHeader(7.0, 1).pack() + image)
    vector = frame_record(RecordHeader(0.0, 1, vector=(9.0, 2.0)).pack() + image)
    (tmp_path / "a.rec").write_bytes(record + vector)
    (tmp_path / "a.idx").write_text("".join(f"{key}\t{len(record) * (key % 2)}\n" for key in range(20_000)))
    begin = time.process_time()
    labels = RecordFile(tmp_path / "a.rec").labels(np.arange(20_000))
    assert time.process_time() - begin < 4
    assert labels.tolist() == [7.0, 9.0] * 10_000


def test_the_magic_number_inside_of_a_header(tmp_path: Path) -> None:
    number = struct.unpack("<I", MAGIC)[0]
    records = [(1, RecordHeader(3.0, number), b"abc"), (2, RecordHeader(0.0, 0, number << 32, (5.0, 6.0)), b"")]
    file = RecordFile(write_records(tmp_path / "a.rec", records))
    assert file.labels(np.arange(2)).tolist() == [3.0, 5.0]
