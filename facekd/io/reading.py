"""Bounded reading of files that may come from anybody: every failure is one short sentence with the file's name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from facekd.errors import DataError, FacekdError
from facekd.text import path_text, shorten

MEBIBYTE = 1 << 20
TEXT_LIMIT = 256 * MEBIBYTE
"""Default limit of `read_text` in bytes: a list of millions of lines fits."""
BINARY_LIMIT = 2048 * MEBIBYTE
"""Default limit of `read_bytes` in bytes."""
MAX_DIGITS = 18
"""Digits of a whole number in a file: it fits into 64 bits."""
RESTORE = "restore it or make it again"


@contextmanager
def reading(path: Path | str, error: type[FacekdError] = DataError, *, kind: str = "",
            remedy: str = RESTORE) -> Iterator[None]:
    """Turn what a parser raises about a file into one sentence; put nothing but the parser into the block.

    Parsers of foreign formats document few of the exceptions that damaged input makes them raise, so all of them are
    translated. A `FacekdError` passes.

    Args:
        path: the file, for the message.
        error: the type of error to raise.
        kind: what the file is read as, e.g. ``"JSON"``.
        remedy: what the user should do.

    Raises:
        error: the block raised an exception, or ran out of memory or stack.
    """
    failure = f"{path_text(path)} cannot be read as {kind}" if kind else f"{path_text(path)} cannot be read"
    try:
        yield
    except FacekdError:
        raise
    except FileNotFoundError:
        raise error(f"{path_text(path)} does not exist; check the path") from None
    except RecursionError:
        raise error(f"{failure} (it is nested too deeply); {remedy}") from None
    except MemoryError as problem:
        raise error(f"{failure} (it asks for more memory than there is); {remedy}") from problem
    except OSError as problem:
        raise error(f"{failure} ({problem.strerror or shorten(problem)}); {remedy}") from problem
    except Exception as problem:
        reason = shorten(problem) or type(problem).__name__
        raise error(f"{failure} ({reason}); {remedy}") from problem


def read_bytes(path: Path | str, error: type[FacekdError] = DataError, *, limit: int = BINARY_LIMIT,
               remedy: str = RESTORE) -> bytes:
    """Read a whole file.

    Args:
        path: the file.
        error: the type of error to raise.
        limit: the largest size in bytes; it is asked before the content is read.
        remedy: what the user should do about an unreadable file.

    Raises:
        error: the file is absent, no regular file, unreadable, or larger than ``limit``.
    """
    with reading(path, error, remedy=remedy):
        with Path(path).open("rb") as handle:
            content = _read_at_most(handle, limit + 1)
        if len(content) > limit:
            raise error(f"{path_text(path)} has more than {limit:,} bytes, which is too much for this kind of file; "
                        "check the path")
        return content


def _read_at_most(handle: BinaryIO, limit: int) -> bytes:
    """Read up to ``limit`` bytes; the memory that is taken follows the size of the file, not the limit."""
    blocks = []
    size = min(os.fstat(handle.fileno()).st_size + 1, limit)
    while limit and (block := handle.read(min(size, limit))):
        blocks.append(block)
        limit -= len(block)
        size = 1 << 16  # a pipe and some files of the system have no size
    return b"".join(blocks)


def read_text(path: Path | str, error: type[FacekdError] = DataError, *, limit: int = TEXT_LIMIT,
              encoding: str = "utf-8", errors: str = "strict", remedy: str = RESTORE) -> str:
    """Read a whole text file; line ends stay as they are.

    Args:
        path: the file.
        error: the type of error to raise.
        limit: the largest size in bytes.
        encoding: the encoding.
        errors: what to do with bytes of another encoding, as for `bytes.decode`.
        remedy: what the user should do about an unreadable file.

    Raises:
        error: the file is absent, unreadable, larger than ``limit``, or not in this encoding.
    """
    content = read_bytes(path, error, limit=limit, remedy=remedy)
    with reading(path, error, remedy=remedy):
        return content.decode(encoding, errors)


def parse_whole_number(text: str) -> int | None:
    """Return the value of a text of 1 to 18 ASCII digits; None for any other text."""
    if 0 < len(text) <= MAX_DIGITS and text.isascii() and text.isdigit():
        return int(text)
    return None
