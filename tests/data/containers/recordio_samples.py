"""Records typed byte by byte from the definition of the format, and random payloads."""

from __future__ import annotations

import random
from pathlib import Path

from facekd.data.containers.recordio_format import MAGIC, RecordHeader, RecordWriter

COMPLETE = bytes.fromhex(
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


def write_records(path: Path, records: list[tuple[int, RecordHeader, bytes]]) -> Path:
    """Write a .rec and its .idx."""
    with path.open("wb") as records_file, path.with_suffix(".idx").open("w") as index_file:
        writer = RecordWriter(records_file, index_file)
        for key, header, image in records:
            writer.write(key, header, image)
    return path


def random_payloads(count: int) -> list[bytes]:
    """Return random bytes with magic numbers: at the start, at the end, aligned or not, several in a row."""
    rng = random.Random(3)
    pieces = [MAGIC, MAGIC, MAGIC[:3], MAGIC[1:], b"", b"\0", b"ab", b"xyz", b"wxyz", bytes(range(29))]
    return [b"".join(rng.choices(pieces, k=rng.randint(0, 12))) for _ in range(count)]
