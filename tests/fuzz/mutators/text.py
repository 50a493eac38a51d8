"""Damage to text that knows tokens, lines and columns."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from random import Random

from tests.fuzz.mutators import binary

NUMBERS = (
    b"0", b"-1", b"1", b"2", b"1e999", b"-1e999", b"nan", b"NaN", b"inf", b"-Infinity", b"1.5", b"1e-400", b"007",
    b"2147483648", b"4294967296", b"9223372036854775807", b"9223372036854775808", b"18446744073709551616", b"1" * 25,
    b"9" * 400, b"9" * 5000, b"0x10", b"1_000", b"+5", b"1e5", "²".encode(), "١٢".encode(), b"5\x1c", b"\x1f7", b"1 2",
    b"3.0", b"1e18",
)
FIELDS = (
    b"", b" ", b"a", b"-", b"..", b"../..", b"/etc/passwd", b"/dev/zero", b"/proc/self/mem", b"a/../../b", b"~",
    b"null",
    b"true", b"x" * 300, b"x" * 5000, b"x/" * 3000, b"x" * 140_000, b"\x00", b"\xff\xfe", b"\x1b]0;t\x07", b"\r", b"\n",
    b"\t", b",", b"\"", b"'", b"\"\"", b"'''", b"$\\frac{$", b"=HYPERLINK(\"a\")", b"<b>", b"|", b"#", b"%s{0}", b"{",
    b"}",
    b"[", b"]", b":", b"- ", b"&a", b"*a", b"!!python/object:os.system", b"\\", b"\\u0000", b"\\ud800",
    "\u202e".encode(),
    "\u2028".encode(), "é".encode("latin-1"), b"[" * 100, b"[" * 5000, b"{\"a\":" * 3000, b"(" * 1000, b"\x85", b"\x0b",
    b"\xef\xbb\xbf", b"2001-99-99", b"0o7", b".", b"1/0",
)
_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_TOKEN = re.compile(rb"[A-Za-z_][\w./-]*|-?\d[\w.+-]*|[^\w\s]")


def mutate(rng: Random, data: bytes, others: Sequence[bytes] = ()) -> bytes:
    """Return the text with one to some six kinds of damage, one after the other."""
    if rng.random() < 0.03:
        return rng.choice(ENCODINGS)(data)
    for _ in range(min(6, 1 + int(rng.expovariate(1.0)))):
        data = rng.choice(OPERATIONS)(rng, data, others) if data else rng.choice(FIELDS)
    return data


def _replace_match(rng: Random, data: bytes, pattern: re.Pattern[bytes], values: Sequence[bytes]) -> bytes:
    start = rng.randrange(len(data)) if len(data) > 2000 else 0  # searching a long text from its beginning is slow
    matches = list(pattern.finditer(data, start, start + 4000))
    if not matches:
        return data
    match = rng.choice(matches)
    return data[: match.start()] + rng.choice(values) + data[match.end() :]


def replace_number(rng: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Replace a number by an extreme one."""
    return _replace_match(rng, data, _NUMBER, NUMBERS)


def replace_token(rng: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Replace a word, number or sign."""
    return _replace_match(rng, data, _TOKEN, FIELDS if rng.random() < 0.7 else NUMBERS)


def insert_field(rng: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Insert text anywhere."""
    place = rng.randrange(len(data) + 1)
    return data[:place] + rng.choice(FIELDS) + data[place:]


def change_line(rng: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Delete, double, move, empty or join a line, or take one of another input."""
    lines = data.split(b"\n")
    number = rng.randrange(len(lines))
    match rng.randrange(6):
        case 0:
            del lines[number]
        case 1:
            lines[number:number] = [lines[number]] * rng.choice((1, 1, 2, 50))
        case 2:
            lines.insert(rng.randrange(len(lines)), lines.pop(number))
        case 3:
            lines[number] = rng.choice((b"", b" ", b"\t", b"#", rng.choice(FIELDS)))
        case 4:
            lines[number : number + 2] = [b" ".join(lines[number : number + 2])]
        case _:
            lines[number] = rng.choice((rng.choice(others) if others else data).split(b"\n"))
    return b"\n".join(lines)


def change_column(rng: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Delete, double, exchange or replace a column of a line."""
    lines = data.split(b"\n")
    number = rng.randrange(len(lines))
    separator = next((sign for sign in (b"\t", b",", b" ", b":") if sign in lines[number]), b" ")
    columns = lines[number].split(separator)
    column = rng.randrange(len(columns))
    match rng.randrange(5):
        case 0:
            del columns[column]
        case 1:
            columns.insert(column, columns[column])
        case 2:
            other = rng.randrange(len(columns))
            columns[column], columns[other] = columns[other], columns[column]
        case 3:
            columns[column] = rng.choice(FIELDS)
        case _:
            separator = rng.choice((b"\t", b",", b" ", b";", b""))
    lines[number] = separator.join(columns)
    return b"\n".join(lines)


def change_bytes(rng: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Damage that knows nothing of text."""
    return rng.choice(binary.OPERATIONS)(rng, data, others)


OPERATIONS: tuple[Callable[[Random, bytes, Sequence[bytes]], bytes], ...] = (
    replace_number, replace_number, replace_number, replace_token, replace_token, insert_field, change_line,
    change_line,
    change_column, change_column, change_bytes,
)
ENCODINGS: tuple[Callable[[bytes], bytes], ...] = (
    lambda data: b"\xef\xbb\xbf" + data,
    lambda data: data.replace(b"\n", b"\r\n"),
    lambda data: data.replace(b"\n", b"\r"),
    lambda data: data.decode("latin-1").encode("utf-16"),
    lambda data: data.replace(b"\n", b"\n" * 100),
    lambda data: data.rstrip(b"\n"),
    lambda data: b"",
    lambda data: data.replace(b",", b"\t"),
)
