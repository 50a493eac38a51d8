"""Damage to protocol buffers (ONNX) that knows fields; the lengths of the messages around are repaired."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from random import Random

from tests.fuzz.mutators import binary, text

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
MAX_DEPTH = 8
Field = tuple[int, int, "int | bytes | list[Field]"]
"""Number, wire type, and value: an integer, bytes, or the fields of a message."""


def read_varint(data: bytes, start: int) -> tuple[int, int]:
    """Return a variable-length integer and the index after it."""
    value = shift = 0
    while True:
        byte = data[start]
        value |= (byte & 0x7F) << shift
        start += 1
        shift += 7
        if byte < 0x80:
            return value, start
        if shift > 63:
            raise ValueError("a varint of more than ten bytes")


def write_varint(value: int) -> bytes:
    """Return an integer of 64 bits as a varint."""
    value %= 1 << 64
    result = bytearray()
    while value >= 0x80:
        result.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*result, value])


def parse(data: bytes, depth: int = 0) -> list[Field]:
    """Return the fields of a message; text and nested messages cannot be told apart, so what parses is a message.

    Raises:
        ValueError: the bytes are no message.
        IndexError: the message is cut short.
    """
    fields: list[Field] = []
    place = 0
    while place < len(data):
        tag, place = read_varint(data, place)
        number, kind = tag >> 3, tag & 7
        if not 1 <= number < 1 << 20:
            raise ValueError("a field number")
        value: int | bytes | list[Field]
        if kind == VARINT:
            value, place = read_varint(data, place)
        elif kind in (FIXED32, FIXED64):
            size = 4 if kind == FIXED32 else 8
            value, place = data[place : place + size], place + size
        elif kind == BYTES:
            size, place = read_varint(data, place)
            value, place = data[place : place + size], place + size
            if place > len(data):
                raise ValueError("a length")
            value = _parse_inner(value, depth)
        else:
            raise ValueError("a wire type")
        fields.append((number, kind, value))
    return fields


def _parse_inner(value: bytes, depth: int) -> bytes | list[Field]:
    if depth >= MAX_DEPTH or len(value) < 2 or len(value) > 1 << 16:
        return value
    try:
        return parse(value, depth + 1)
    except (ValueError, IndexError):
        return value


def dump(fields: Sequence[Field]) -> bytes:
    """Return a message with these fields."""
    parts = []
    for number, kind, value in fields:
        parts.append(write_varint(number << 3 | kind))
        if isinstance(value, int):
            parts.append(write_varint(value))
        else:
            content = dump(value) if isinstance(value, list) else value
            parts.append(write_varint(len(content)) + content if kind == BYTES else content)
    return b"".join(parts)


def mutate(rng: Random, data: bytes, others: Sequence[bytes] = ()) -> bytes:
    """Return a message with some changed fields, or damage anywhere."""
    if rng.random() < 0.2:
        return binary.mutate(rng, data, others)
    try:
        fields = parse(data)
        donor = parse(rng.choice(others)) if others and rng.random() < 0.1 else fields
    except (ValueError, IndexError):
        return binary.mutate(rng, data, others)
    for _ in range(min(5, 1 + int(rng.expovariate(1.0)))):
        _change(rng, _pick(rng, fields), _pick(rng, donor))
    return dump(fields)


def _pick(rng: Random, fields: list[Field]) -> list[Field]:
    """Return one of the messages: the outer one, or one inside it."""
    while True:
        inner = [value for _, _, value in fields if isinstance(value, list) and value]
        if not inner or rng.random() < 0.2:
            return fields
        fields = rng.choice(inner)


def _change(rng: Random, fields: list[Field], donor: list[Field]) -> None:
    if not fields:
        return
    place = rng.randrange(len(fields))
    number, kind, value = fields[place]
    match rng.randrange(8):
        case 0:
            del fields[place]
        case 1:
            fields[place:place] = [copy.deepcopy(fields[place]) for _ in range(rng.choice((1, 1, 2, 30)))]
        case 2:
            fields[place] = (rng.choice((number + 1, number - 1 or 2, rng.randint(1, 30))), kind, value)
        case 3 if donor:
            fields.insert(place, copy.deepcopy(rng.choice(donor)))  # a message may otherwise contain itself
        case 4:
            fields.append(fields.pop(place))
        case _:
            fields[place] = (number, kind, _change_value(rng, value))


def _change_value(rng: Random, value: int | bytes | list[Field]) -> int | bytes | list[Field]:
    if isinstance(value, int):
        return rng.choice((*binary.EXTREMES, value + 1, value - 1, rng.randint(0, 30)))
    if isinstance(value, list):
        value = dump(value)
    kind = rng.random()
    if kind < 0.4:
        return rng.choice(text.FIELDS[:40])
    return binary.mutate(rng, value) if kind < 0.8 else b""
