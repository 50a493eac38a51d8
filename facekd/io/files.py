"""Atomic file writing, checksums, and JSON files with a format name and version."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, overload

from facekd.errors import FacekdError
from facekd.io.documents import read_json
from facekd.io.outputs import check_kind, is_empty_folder
from facekd.io.records import S, check_record
from facekd.io.temporaries import temporary_path
from facekd.io.writing import writing
from facekd.text import path_text, short_repr


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder; on success it is flushed to disk and renamed to ``path``.

    Whenever the process is killed, a reader sees the old file or the complete new one.

    Raises:
        SetupError: the file cannot be written; the temporary file is removed and ``path`` is untouched.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        check_kind(path, folder=False)
        temporary = temporary_path(path)
        try:
            yield temporary
            with temporary.open("rb+") as handle:
                os.fsync(handle.fileno())
            os.replace(temporary, path)
            _flush_folder(path.parent)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise


@contextmanager
def atomic_folder(path: Path, error: type[FacekdError]) -> Iterator[Path]:
    """Yield a temporary folder next to ``path``; on success it is renamed to ``path``, otherwise removed.

    Raises:
        error: ``path`` exists and is not an empty folder; it is not changed.
        SetupError: the folder cannot be written.
    """
    with writing(path):
        if path.exists() and not is_empty_folder(path):
            raise error(f"{path_text(path)} exists and is not an empty folder; choose another place or remove it first")
        temporary = temporary_path(path)
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        try:
            yield temporary
            temporary.replace(path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _flush_folder(folder: Path) -> None:
    """Make a rename in a folder durable; does nothing where folders cannot be opened (Windows)."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_bytes(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path`` atomically."""
    with atomic_write(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    r"""Write ``text`` in UTF-8 to ``path`` atomically; bytes of a name that are not UTF-8 are escaped as ``\udcff``."""
    write_bytes(path, text.encode("utf-8", "backslashreplace"))  # in JSON that escape is read as it was


def sha256(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file's content, read in blocks of 1 MiB."""
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        while block := handle.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON object atomically, indented, so that it can be read and edited by hand."""
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    # A name that is not UTF-8 holds surrogates; an escaped backslash sequence is how JSON writes them.
    write_bytes(path, f"{text}\n".encode("utf-8", "backslashreplace"))


def write_versioned(path: Path, kind: str, version: int, content: Mapping[str, Any]) -> None:
    """Write a JSON object with the keys ``format`` and ``version`` in front, for `read_versioned`."""
    write_json(path, {"format": f"facekd.{kind}", "version": version, **content})


@overload
def read_versioned(path: Path, kind: str, version: int, error: type[FacekdError], *,
                   schema: None = None, remedy: str = ...) -> dict[str, Any]: ...


@overload
def read_versioned(path: Path, kind: str, version: int, error: type[FacekdError], *,
                   schema: type[S], remedy: str = ...) -> S: ...


def read_versioned(
    path: Path, kind: str, version: int, error: type[FacekdError], *, schema: type[S] | None = None,
    remedy: str = "run the command that made it again",
) -> dict[str, Any] | S:
    """Read a JSON object written by `write_versioned`.

    Args:
        path: the file.
        kind: the kind of file, e.g. ``"plan"``.
        version: the version of the format that the caller reads.
        error: the type of error to raise.
        schema: the model of the content without ``format`` and ``version``; None returns the content unchecked.
        remedy: what the user should do about a file of an older version, or about a damaged one.

    Raises:
        error: the file is of another kind, of a newer or older version of the format, or does not follow the schema.
    """
    content = read_json(path, error)
    if content.get("format") != f"facekd.{kind}":
        raise error(f"{path_text(path)} is not a {kind} file (its format says {short_repr(content.get('format'))}); "
                    "check the path")
    written = content.get("version")
    if type(written) is not int or written < 1:
        raise error(f"{path_text(path)}: the format version {short_repr(written)} is not a positive whole number; "
                    "restore the file")
    if written > version:
        raise error(
            f"{path_text(path)}: format version {written} was written by a newer facekd (this one reads version "
            f"{version}); upgrade facekd"
        )
    if written < version:
        raise error(
            f"{path_text(path)}: format version {written} was written by an older facekd (this one reads version "
            f"{version}); {remedy}"
        )
    if schema is None:
        return content
    content = {key: value for key, value in content.items() if key not in ("format", "version")}
    return check_record(schema, content, path, error, remedy=f"restore it, or {remedy}")
