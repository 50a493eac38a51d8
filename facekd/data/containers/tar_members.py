"""The members of a tar file, in time and memory proportional to its length, whatever its headers claim.

Python's tarfile takes the sizes in headers as they are and reads chains of headers by recursion.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from facekd.errors import DataError
from facekd.io.reading import parse_whole_number
from facekd.text import path_text

BLOCK = tarfile.BLOCKSIZE
_MAX_EXTENSION = 1 << 20
"""Bytes of a header that extends the next one: a long name, or the records of pax."""
_LONG_NAMES = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
_PAX = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.XGLTYPE)
_SPARSE = ("it holds a sparse member", "write it again without --sparse")


class TarMember(NamedTuple):
    """One member of a tar file.

    Attributes:
        name: its path.
        offset: the byte at which its first header begins.
        data_offset: the byte at which its content begins.
        size: the length of its content.
        is_file: whether it is a regular file.
    """

    name: str
    offset: int
    data_offset: int
    size: int
    is_file: bool


def read_members(file: BinaryIO, path: Path, start: int = 0) -> Iterator[TarMember]:
    """Read the headers of a tar file; formats are ustar, GNU and pax.

    Args:
        file: the open file.
        path: its path, for the error messages.
        start: the byte at which the first header to read begins.

    Raises:
        DataError: the file is compressed or no tar file, is damaged or cut short, or holds a sparse member.
    """
    length = file.seek(0, 2)
    offset = position = start
    long_name: str | None = None
    long_size: int | None = None
    while (header := _read_header(file, path, position)) is not None:
        position += BLOCK
        if header.type in _LONG_NAMES or header.type in _PAX:
            content = _read_extension(file, header, path, position, length)
            position += _padded(header.size)
            if header.type == tarfile.GNUTYPE_LONGNAME:
                long_name = content.partition(b"\0")[0].decode("utf-8", "surrogateescape")
            elif header.type in _PAX:
                name, size = _parse_pax(content, path, position, is_global=header.type == tarfile.XGLTYPE)
                long_name, long_size = name or long_name, size if size is not None else long_size
            continue
        if header.type == tarfile.GNUTYPE_SPARSE:
            raise _unusable(path, *_SPARSE)
        size = header.size if long_size is None else long_size
        has_data = header.isreg() or header.type not in tarfile.SUPPORTED_TYPES
        if has_data and not 0 <= size <= length - position:
            raise _damaged(path, offset)
        yield TarMember(long_name or header.name, offset, position, size, header.isreg())
        position += _padded(size) if has_data else 0
        offset, long_name, long_size = position, None, None


def _read_header(file: BinaryIO, path: Path, position: int) -> tarfile.TarInfo | None:
    """Return the header at a position; None at the block of zeros that ends the file."""
    file.seek(position)
    try:
        return tarfile.TarInfo.frombuf(file.read(BLOCK), "utf-8", "surrogateescape")
    except tarfile.HeaderError as error:
        if isinstance(error, tarfile.EOFHeaderError):  # type: ignore[attr-defined]
            return None
        if position:
            raise _damaged(path, position) from error
        raise _unusable(path, "it is empty, damaged, compressed or another kind of file",
                        "get it again, or unpack it with gunzip") from error


def _read_extension(file: BinaryIO, header: tarfile.TarInfo, path: Path, position: int, length: int) -> bytes:
    if not 0 <= header.size <= length - position:
        raise _damaged(path, position - BLOCK)
    if header.size > _MAX_EXTENSION:
        raise _unusable(path, f"the header at byte {position - BLOCK} is longer than {_MAX_EXTENSION:,} bytes",
                        "write it again without extended attributes")
    return file.read(header.size)


def _parse_pax(content: bytes, path: Path, position: int, *, is_global: bool) -> tuple[str | None, int | None]:
    """Return the path and the size in the records of a pax header, lines ``LENGTH KEY=VALUE``; None where absent."""
    records: dict[bytes, bytes] = {}
    begin = 0
    while begin < len(content):
        space = content.find(b" ", begin, begin + 10)
        record_length = parse_whole_number(content[begin : max(space, begin)].decode("latin-1"))
        end = begin + (record_length or 0)
        if record_length is None or not space < end <= len(content):
            raise _damaged(path, position)
        key, _, value = content[space + 1 : end - 1].partition(b"=")
        records[key] = value
        begin = end
    if any(key.startswith(b"GNU.sparse") for key in records):
        raise _unusable(path, *_SPARSE)
    name = records.get(b"path")
    size = records.get(b"size")
    if is_global and (name or size):
        raise _unusable(path, "it gives all of its members one path or size", "write it again")
    number = None if size is None else parse_whole_number(size.decode("latin-1"))
    if size is not None and number is None:
        raise _damaged(path, position)
    return name.decode("utf-8", "surrogateescape").rstrip("/") if name else None, number


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _unusable(path: Path, problem: str, remedy: str) -> DataError:
    return DataError(f"{path_text(path)} cannot be read as a tar file ({problem}); {remedy}")


def _damaged(path: Path, position: int) -> DataError:
    return DataError(f"{path_text(path)} is damaged or cut short at byte {position}: there is neither a member nor an "
                     "end mark; get it again")
