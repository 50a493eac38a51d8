"""Damage to pickles that knows their opcodes."""

from __future__ import annotations

import pickletools
import struct
from collections.abc import Sequence
from random import Random

from tests.fuzz.mutators import binary

OPCODES = (
    b"(", b")", b"]", b"}", b"0", b"1", b"2", b"N", b"R", b"b", b"e", b"a", b"s", b"u", b"t", b"d", b"l", b"\x85",
    b"\x86", b"\x87",
    b"\x88", b"\x94", b"\x93", b"\x81", b"\x92", b"o", b"Q", b".", b"q\x00", b"h\x00", b"q\x01", b"h\x01", b"K\x05",
    b"M\xff\xff",
    b"J\xff\xff\xff\xff", b"G\x7f\xf8\x00\x00\x00\x00\x00\x00", b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f",
    b"\x8b\xff\xff\xff\x7f", b"cos\nsystem\n", b"cbuiltins\neval\n", b"cnumpy\ndtype\n", b"cnumpy\nndarray\n",
    b"cnumpy.core.multiarray\n_reconstruct\n", b"c_codecs\nencode\n", b"ios\nsystem\n", b"\x82\x01", b"Px\n",
    b"X\x02\x00\x00\x00ab", b"X\xff\xff\xff\xff", b"\x8d\xff\xff\xff\xff\xff\xff\xff\x7f", b"C\x03abc", b"U\x03abc",
    b"B\xff\xff\xff\x7f", b"I99999999999999999999\n", b"L5L\n", b"F1e999\n", b"Vabc\n", b"S'abc'\n", b"p0\n", b"g0\n",
    b"\x95\x00\x00\x00\x00\x00\x00\x00\x01", b"\x80\x05", b"\x96\x04\x00\x00\x00\x00\x00\x00\x00abcd", b"\x97", b"\x98",
)
MAX_OPCODES = 3000


def mutate(rng: Random, data: bytes, others: Sequence[bytes] = ()) -> bytes:
    """Return a pickle with changed opcodes, or damage anywhere."""
    codes = _split(data) if rng.random() < 0.65 else []
    if not codes:
        return binary.mutate(rng, data, others)
    for _ in range(min(6, 1 + int(rng.expovariate(0.9)))):
        place = rng.randrange(len(codes))
        match rng.randrange(7):
            case 0 if len(codes) > 1:
                del codes[place]
            case 1:
                codes.insert(place, codes[rng.randrange(len(codes))])
            case 2:
                codes[place] = rng.choice(OPCODES)
            case 3:
                codes[place] = _change_argument(rng, codes[place])
            case 4:
                block = codes[place : place + rng.randint(1, 20)]
                codes[place:place] = block * rng.choice((1, 3, 100))
            case _:
                codes.insert(place, rng.choice(OPCODES))
    return b"".join(codes)


def _split(data: bytes) -> list[bytes]:
    """Return the bytes of each opcode; nothing if the data is no pickle or has too many opcodes."""
    starts = []
    try:
        for _, _, start in pickletools.genops(data):
            starts.append(start or 0)
            if len(starts) > MAX_OPCODES:
                return []
    except Exception:  # damaged already, as the result of a splice
        return []
    return [data[start:end] for start, end in zip(starts, [*starts[1:], len(data)], strict=True)]


def _change_argument(rng: Random, code: bytes) -> bytes:
    size = {1: 1, 2: 2, 4: 4}.get(len(code) - 1)
    if size is None:
        return binary.mutate(rng, code)
    return code[:1] + struct.pack("<Q", rng.choice(binary.EXTREMES) % 2**64)[:size]
