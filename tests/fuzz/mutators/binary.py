"""Damage to bytes that knows nothing of their format."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from random import Random

INTERESTING = (0, 1, 2, 0x7F, 0x80, 0xFE, 0xFF, 0x0A, 0x20, 0x2F)
EXTREMES = (0, 1, -1, 2, 255, 256, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 2**29 - 1, 2**29, 2**31 - 1, 2**31, 2**32 - 1,
            2**32,
            2**40, 2**53, 2**62, 2**63 - 1, 2**63, 2**64 - 1, 1000, 65500, 32000, 10**9)
FLOATS = (0.0, -0.0, 1.0, -1.0, float("nan"), float("inf"), float("-inf"), 1e38, -1e38, 1e-40, 0.5, 1e9, 16777215.0)
HEAD = 256
"""Half of all damage is within this distance of the beginning or end, where formats keep their headers."""


def position(rng: Random, data: bytes | bytearray) -> int:
    """Return an index into data that is not empty, mostly near its ends."""
    length = len(data)
    kind = rng.random()
    if kind < 0.4:
        return rng.randrange(min(length, HEAD))
    return length - 1 - rng.randrange(min(length, HEAD)) if kind < 0.55 else rng.randrange(length)


def mutate(rng: Random, data: bytes, others: Sequence[bytes] = ()) -> bytes:
    """Return data with one to some eight kinds of damage, one after the other."""
    for _ in range(min(8, 1 + int(rng.expovariate(0.8)))):
        data = rng.choice(OPERATIONS)(rng, data, others) if data else insert(rng, data, others)
    return data


def flip(rng: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Flip one to eight bits."""
    result = bytearray(data)
    for _ in range(rng.randint(1, 8)):
        result[position(rng, result)] ^= 1 << rng.randrange(8)
    return bytes(result)


def set_bytes(rng: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Set one to eight bytes."""
    result = bytearray(data)
    for _ in range(rng.randint(1, 8)):
        result[position(rng, result)] = rng.choice(INTERESTING) if rng.random() < 0.5 else rng.randrange(256)
    return bytes(result)


def insert(rng: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Insert random or equal bytes."""
    count = rng.choice((1, 2, 3, 4, 8, 16, 100, 512))
    extra = rng.randbytes(count) if rng.random() < 0.5 else bytes([rng.choice(INTERESTING)]) * count
    place = position(rng, data) if data else 0
    return data[:place] + extra + data[place:]


def delete(rng: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Delete a range."""
    place = position(rng, data)
    return data[:place] + data[place + rng.choice((1, 2, 3, 4, 8, 16, 100, 512, len(data) // 3 + 1)) :]


def truncate(rng: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Cut the end off."""
    return data[: rng.randrange(len(data))]


def repeat(rng: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Repeat a block."""
    place = position(rng, data)
    block = data[place : place + rng.choice((1, 4, 8, 16, 64, 512))]
    return data[:place] + block * rng.choice((2, 3, 10, 50)) + data[place + len(block) :]


def copy_block(rng: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Write one part of the data over another."""
    source, target = position(rng, data), position(rng, data)
    block = data[source : source + rng.choice((1, 2, 4, 8, 16, 64))]
    return data[:target] + block + data[target + len(block) :]


def splice(rng: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Join the beginning of the data to the end of another input."""
    other = rng.choice(others) if others else data
    return data[: rng.randrange(len(data) + 1)] + other[rng.randrange(len(other) + 1) :]


def extreme_integer(rng: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Set an integer of 16, 32 or 64 bits to an extreme value, or to one near what it was."""
    code, size = rng.choice((("H", 2), ("I", 4), ("Q", 8)))
    order = rng.choice("<>")
    place = position(rng, data)
    if rng.random() < 0.5:
        place -= place % size
    value = rng.choice(EXTREMES)
    if rng.random() < 0.3 and place + size <= len(data):
        value = struct.unpack_from(f"{order}{code}", data, place)[0] + rng.choice((-1, 1, -8, 8, 1 << 16))
    return data[:place] + struct.pack(f"{order}{code}", value % (1 << 8 * size)) + data[place + size :]


def extreme_float(rng: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Set a float of 32 or 64 bits to a special value."""
    code, size = rng.choice((("f", 4), ("d", 8)))
    place = position(rng, data)
    place -= place % size
    return data[:place] + struct.pack(f"<{code}", rng.choice(FLOATS)) + data[place + size :]


OPERATIONS: tuple[Callable[[Random, bytes, Sequence[bytes]], bytes], ...] = (
    flip, set_bytes, insert, delete, truncate, repeat, copy_block, splice, extreme_integer, extreme_integer,
    extreme_integer, extreme_float,
)
