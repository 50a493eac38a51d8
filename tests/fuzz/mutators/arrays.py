"""Damage to ``.npy``, to zip archives (``.npz``, PyTorch's ``.pt``) and to safetensors, with repaired lengths."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence
from functools import cache
from random import Random

from tests.fuzz.mutators import binary, pickles, tree

SHAPES = (b"()", b"(0,)", b"(1,)", b"(2, 2)", b"(0, 4)", b"(4, 0)", b"(-1, 4)", b"(1000000000, 1000000000)",
          b"(2**63,)",
          b"(18446744073709551616,)", b"(1e3,)", b"('a',)", b"(3, 4", b"((((", b"[3, 4]", b"3", b"(3, 4, 5)",
          b"(True, 4)",
          b"(1099511627776, 4)", b"(" + b"1," * 70 + b")", b"(" * 300)
TYPES = (b"'<f4'", b"'<f2'", b"'<f8'", b"'|i1'", b"'<i8'", b"'>f4'", b"'|O'", b"'<c8'", b"'|b1'", b"'<U5'", b"'|S0'",
         b"'|V0'",
         b"'<M8[s]'", b"'<f16'", b"'zz'", b"''", b"None", b"[('a', '<f4')]", b"[('a', '|O')]", b"{'names': []}",
         b"'<f4' * 9",
         b"'|S2147483647'", b"[('a', '<f4', (1000000,))]", b"'" + b"a" * 2000 + b"'", b"'\x1b'")
BOMB_BLOCKS = (200, 3000)
"""Sizes of an archive's member that inflates to zeros, in MiB."""
LARGEST = 1 << 26
"""Bytes of all members of an archive that the mutator unpacks."""


def mutate_npy(rng: Random, data: bytes, others: Sequence[bytes] = ()) -> bytes:
    """Return a ``.npy`` with a damaged header of the right length, or damage anywhere."""
    if rng.random() < 0.35 or data[:6] != b"\x93NUMPY" or len(data) < 12:
        return binary.mutate(rng, data, others)
    end = 10 + int.from_bytes(data[8:10], "little")
    header, body = data[10:end], data[end:]
    kind = rng.random()
    if kind < 0.35:
        start, stop = header.find(b"(") if b"(" in header else 0, header.rfind(b")") + 1
        header = header[:start] + rng.choice(SHAPES) + header[stop:]
    elif kind < 0.6:
        start = header.find(b"'descr': ") + 9
        header = header[:start] + rng.choice(TYPES) + header[header.find(b", 'fortran") :]
    elif kind < 0.7:
        header = header.replace(*rng.choice(((b"False", b"True"), (b"False", b"1"), (b"shape", b"shap"), (b"{", b""))))
    elif kind < 0.9:
        body = binary.mutate(rng, body, others) if rng.random() < 0.5 else body[: rng.randrange(len(body) + 1)]
    else:
        header = binary.mutate(rng, header)
    header = header.rstrip() + b"\n"
    header = header[:-1] + b" " * (-(len(header) + 10) % 64) + b"\n"
    version = rng.choice((b"\x01\x00", b"\x01\x00", b"\x01\x00", b"\x02\x00", b"\x03\x00", b"\x09\x00"))
    size = struct.pack("<H" if version[0] == 1 else "<I", len(header) % (1 << 16))
    return b"\x93NUMPY" + version + size + header + body


@cache
def _zeros_block() -> tuple[bytes, int]:
    """Return a raw deflate block of 1 MiB of zeros that can be repeated."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    return compressor.compress(bytes(1 << 20)) + compressor.flush(zlib.Z_FULL_FLUSH), 1 << 20


def bomb(rng: Random, name: str) -> bytes:
    """Return a zip archive whose only member inflates to much more than it has; its directory may state less."""
    block, size = _zeros_block()
    count = rng.choice(BOMB_BLOCKS)
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    content = block * count + compressor.flush()
    stated = rng.choice((size * count, 100, 1 << 20)) & 0xFFFFFFFF
    fields = (20, 0, 8, 0, 33, 0, len(content), stated, len(name), 0)
    local = struct.pack("<4s5H3I2H", b"PK\x03\x04", *fields) + name.encode() + content
    central = struct.pack("<4s6H3I5H2I", b"PK\x01\x02", 20, *fields, 0, 0, 0, 0, 0) + name.encode()
    return local + central + struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 1, 1, len(central), len(local), 0)


def mutate_zip(rng: Random, data: bytes, others: Sequence[bytes] = ()) -> bytes:
    """Return an archive with one damaged member and a right directory, a bomb, or damage anywhere."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
        if sum(info.file_size for info in archive.infolist()) > LARGEST:  # a bomb already
            return binary.mutate(rng, data, others)
        members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    except Exception:  # a damaged member of a splice
        return binary.mutate(rng, data, others)
    kind = rng.random()
    if kind < 0.3 or not members:
        return binary.mutate(rng, data, others)
    number = rng.randrange(len(members))
    name, content = members[number]
    if kind < 0.302:
        return bomb(rng, name)
    if kind < 0.8:
        members[number] = name, _member_mutator(name)(rng, content, [other for _, other in members])
    elif kind < 0.85:
        del members[number]
    elif kind < 0.9:
        members.append((name, content))
    else:
        renamed = rng.choice(("", "../x.npy", "/x", "a" * 300, "\x1b.npy", f"{name}.npy", "x", rng.choice(members)[0]))
        members[number] = renamed, content
    output = io.BytesIO()
    method = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2))
    with zipfile.ZipFile(output, "w", method) as written:
        for name, content in members:
            written.writestr(zipfile.ZipInfo(name), content, method)
    result = output.getvalue()
    return _damage_directory(rng, result) if rng.random() < 0.15 else result


def _member_mutator(name: str) -> Callable[[Random, bytes, Sequence[bytes]], bytes]:
    if name.endswith(".npy"):
        return mutate_npy
    return pickles.mutate if name.endswith(".pkl") else binary.mutate


def _damage_directory(rng: Random, data: bytes) -> bytes:
    """Return an archive with an integer of its directory set to an extreme."""
    start = data.rfind(b"PK\x01\x02")
    return data[:start] + binary.extreme_integer(rng, data[start:], ())


def mutate_safetensors(rng: Random, data: bytes, others: Sequence[bytes] = ()) -> bytes:
    """Return a safetensors file with a damaged JSON header of the right length, or damage anywhere."""
    length = int.from_bytes(data[:8], "little")
    if rng.random() < 0.25 or not 2 <= length <= len(data) - 8:
        return binary.mutate(rng, data, others)
    header, body = data[8 : 8 + length], data[8 + length :]
    kind = rng.random()
    if kind < 0.4 and b'"spec"' in header:
        header = _damage_spec(rng, header)
    elif kind < 0.9:
        header = tree.mutate_json(rng, header, [])
    else:
        body = binary.mutate(rng, body, others)
    header += b" " * (-len(header) % 8)
    size = len(header) if rng.random() < 0.97 else rng.choice(binary.EXTREMES) % 2**64
    return struct.pack("<Q", size) + header + body


def _damage_spec(rng: Random, header: bytes) -> bytes:
    """Return a header whose description of the model, a JSON text within it, is damaged."""
    try:
        content = json.loads(header)
        text = content["__metadata__"]["spec"].encode()
    except (ValueError, AttributeError, LookupError, TypeError):  # damaged already
        return binary.mutate(rng, header)
    spec = tree.mutate_json(rng, text, [])
    content["__metadata__"]["spec"] = spec.decode("utf-8", "replace")
    return json.dumps(content).encode()
