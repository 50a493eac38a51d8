"""Damage to tar shards, images and RecordIO files that repairs the checksums which would hide it."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Sequence
from random import Random

from tests.fuzz.mutators import binary, text

BLOCK = 512
TAR_FIELDS = {"name": (0, 100), "mode": (100, 8), "size": (124, 12), "type": (156, 1), "link": (157, 100),
              "magic": (257, 8),
              "sparse": (386, 96), "real size": (483, 12), "prefix": (345, 155)}
SIZES = (b"00000000000\0", b"77777777777\0", b"00000000001\0", b"xxxxxxxxxxxx", b"            ", b"-0000000001\0",
         b"\x80" + bytes(3) + struct.pack(">Q", 2**40), b"\x80" + bytes(3) + struct.pack(">Q", 2**63),
         b"\xff" * 12, b"\x80" + bytes(3) + struct.pack(">Q", 10**10), b"00000001000\0")
RECORD_MAGIC = struct.pack("<I", 0xCED7230A)


def mutate_tar(rng: Random, data: bytes, others: Sequence[bytes] = ()) -> bytes:
    """Return a shard with a damaged header whose checksum is right, with more headers, or damage anywhere."""
    headers = [start for start in range(0, len(data) - BLOCK, BLOCK) if data[start + 257 : start + 262] == b"ustar"]
    kind = rng.random()
    if kind < 0.25 or not headers:
        return binary.mutate(rng, data, others)
    start = rng.choice(headers)
    if kind < 0.75:
        for _ in range(rng.randint(1, 3)):
            block = _damage_header(rng, data[start : start + BLOCK])
            data = data[:start] + block + data[start + BLOCK :]
        return data
    if kind < 0.9:
        return data[:start] + _extra_header(rng) + data[start:]
    begin, end = start + BLOCK, start + 2 * BLOCK
    return data[:begin] + text.mutate(rng, data[begin:end])[:BLOCK].ljust(BLOCK, b"\0") + data[end:]


def _damage_header(rng: Random, block: bytes) -> bytes:
    name, (start, length) = rng.choice(list(TAR_FIELDS.items()))
    if name in ("size", "sparse", "real size"):
        value = rng.choice(SIZES) * (8 if name == "sparse" else 1)
    elif name == "type":
        value = bytes([rng.choice(b"0123567LKSxgV\0\xff")])
    else:
        value = rng.choice(text.FIELDS[:45])
    value = value[:length].ljust(length, b"\0")
    return seal(block[:start] + value + block[start + length :])


def seal(block: bytes) -> bytes:
    """Return a tar header with the right checksum."""
    blank = block[:148] + b" " * 8 + block[156:]
    return block[:148] + b"%06o\0 " % sum(blank) + block[156:]


def _extra_header(rng: Random) -> bytes:
    """Return a header of a long name, of extended attributes or of a sparse file, once or many times."""
    kind = rng.choice((b"L", b"K", b"x", b"g", b"S"))
    pax = (
        b"30 mtime=nan\n", b"20 path=../../x\n", b"24 size=99999999999999\n", b"999999 path=a\n", b"12 size=-1\n",
        b"22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n", b"30 GNU.sparse.realsize=999999\n", b"-5 a=b\n", b"0 \n",
        b"\xff", b"23 GNU.sparse.map=0,1\n", b"19 path=\xff\xfe\x00\n",
    )
    content = rng.choice(pax) if kind in b"xg" else rng.choice(text.FIELDS)
    content = content[:60_000]
    size = rng.choice(SIZES) if rng.random() < 0.2 else b"%011o\0" % len(content)
    fields = (b"0000644\0", b"0000000\0", b"0000000\0", size, b"00000000000\0", b" " * 8, kind)
    header = b"././@LongLink".ljust(100, b"\0") + b"".join(fields)
    header = header.ljust(257, b"\0") + b"ustar  \0"
    member = seal(header.ljust(BLOCK, b"\0")) + content + bytes(-len(content) % BLOCK)
    return member * rng.choice((1, 1, 1, 2, 30, 1200 if len(member) < 1200 else 1))


def mutate_image(rng: Random, data: bytes, others: Sequence[bytes] = ()) -> bytes:
    """Return an image with damaged sizes and repaired checksums, or damage anywhere."""
    kind = rng.random()
    for magic, damage in IMAGES.items():
        if data.startswith(magic) and kind < 0.6:
            return damage(rng, data)
    return binary.mutate(rng, data, others)


def _damage_png(rng: Random, data: bytes) -> bytes:
    place = 8
    chunks = []
    while place + 12 <= len(data):
        length = int.from_bytes(data[place : place + 4], "big")
        chunks.append((data[place + 4 : place + 8], data[place + 8 : place + 8 + length]))
        place += 12 + length
    number = 0 if rng.random() < 0.5 else rng.randrange(len(chunks))
    name, content = chunks[number]
    if name == b"IHDR" and rng.random() < 0.8:
        fields = list(struct.unpack(">IIBBBBB", content))
        field = rng.randrange(7)
        fields[field] = rng.choice(binary.EXTREMES) % (1 << (32 if field < 2 else 8))
        content = struct.pack(">IIBBBBB", *fields)
    elif rng.random() < 0.3:
        added = rng.choice((b"PLTE", b"tRNS", b"eXIf", b"gAMA", b"iCCP", b"acTL", name))
        chunks.insert(number, (added, rng.randbytes(9)))
    else:
        content = binary.mutate(rng, content)
    chunks[number] = name, content
    parts = [struct.pack(">I", len(value)) + kind + value + struct.pack(">I", zlib.crc32(kind + value))
             for kind, value in chunks]
    return data[:8] + b"".join(parts)


def _damage_jpeg(rng: Random, data: bytes) -> bytes:
    place = 2
    segments = []
    while place + 4 <= len(data) and data[place] == 0xFF and data[place + 1] != 0xDA:
        length = int.from_bytes(data[place + 2 : place + 4], "big")
        segments.append((data[place + 1], data[place + 4 : place + 2 + length]))
        place += 2 + length
    number = rng.randrange(len(segments)) if segments else -1
    frames = [index for index, (marker, _) in enumerate(segments) if 0xC0 <= marker <= 0xC2]
    if number < 0:
        return binary.mutate(rng, data)
    if frames and rng.random() < 0.5:
        number = frames[0]
        marker, content = segments[number]
        size = struct.pack(">HH", *(rng.choice((0, 1, 8, 1000, 5000, 20000, 32000, 65500, 65535)) for _ in range(2)))
        segments[number] = marker, content[:1] + size + content[5:]
    else:
        marker, content = segments[number]
        segments[number] = rng.choice((marker, marker, 0xC2, 0xE1, 0xFE)), binary.mutate(rng, content)[:65000]
    parts = [bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content for marker, content in segments]
    return data[:2] + b"".join(parts) + data[place:]


def _damage_header_integers(rng: Random, data: bytes) -> bytes:
    head = data[:64]
    for _ in range(rng.randint(1, 3)):
        head = binary.extreme_integer(rng, head, ())
    return head + data[64:]


IMAGES: dict[bytes, Callable[[Random, bytes], bytes]] = {
    b"\x89PNG": _damage_png, b"\xff\xd8": _damage_jpeg,
    **dict.fromkeys((b"BM", b"RIFF", b"GIF", b"II"), _damage_header_integers),
}


def mutate_recordio(rng: Random, data: bytes, others: Sequence[bytes] = ()) -> bytes:
    """Return a RecordIO file with a damaged field of one record, or damage anywhere."""
    starts = []
    place = data.find(RECORD_MAGIC)
    while place >= 0:
        starts.append(place)
        place = data.find(RECORD_MAGIC, place + 4)
    if rng.random() < 0.3 or not starts:
        return binary.mutate(rng, data, others)
    result = bytearray(data)
    for _ in range(rng.randint(1, 3)):
        start = rng.choice(starts)
        match rng.randrange(5):
            case 0:  # kind and length
                word = rng.choice((rng.randrange(8) << 29 | rng.randrange(1 << 12), *binary.EXTREMES)) % 2**32
                field, value = 4, struct.pack("<I", word)
            case 1:  # the length of the label
                field, value = 8, struct.pack("<I", rng.choice(binary.EXTREMES) % 2**32)
            case 2:  # the label
                field, value = 12, struct.pack("<f", rng.choice((*binary.FLOATS, rng.randrange(100))))
            case 3:  # the first number of a label of several
                field, value = 32, struct.pack("<f", rng.choice((*binary.FLOATS, rng.randrange(100))))
            case _:
                field, value = 0, rng.choice((bytes(4), b"\n#\xd7\xcf", RECORD_MAGIC[::-1]))
        result[start + field : start + field + 4] = value
    return bytes(result)
