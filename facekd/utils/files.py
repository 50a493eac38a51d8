"""Atomic file writing, checksums, and JSON files with a format name and version."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from facekd.errors import FacekdError, SetupError
from facekd.utils.documents import read_json


@contextmanager
def explain_disk_full(path: Path) -> Iterator[None]:
    """Turn the errors of a full disk into a `SetupError`, while ``path`` is written.

    Raises:
        SetupError: the disk is full.
    """
    try:
        yield
    except BaseException as error:
        if _is_disk_full(error):
            raise SetupError(
                f"the disk is full: {path} could not be written. What was there before is untouched; "
                "free some space and run the same command again, it continues."
            ) from error
        raise


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder; on success it is flushed to disk and renamed to ``path``.

    Whenever the process is killed, a reader sees the old file or the complete new one.

    Raises:
        SetupError: the disk is full; the temporary file is removed and ``path`` is untouched.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with explain_disk_full(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            with temporary.open("rb+") as handle:
                os.fsync(handle.fileno())
            os.replace(temporary, path)
            _flush_folder(path.parent)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


@contextmanager
def atomic_folder(path: Path, error: type[FacekdError]) -> Iterator[Path]:
    """Yield a temporary folder next to ``path``; on success it is renamed to ``path``, otherwise removed.

    Raises:
        error: ``path`` exists and is not an empty folder; it is not changed.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise error(f"{path} exists and is not an empty folder; choose another place or remove it first")
    temporary = path.with_name(f".{path.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        temporary.replace(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _is_disk_full(error: BaseException) -> bool:
    """Return whether an error means a full disk; libraries (safetensors, torch) report it in the text only."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return "No space left on device" in str(error)


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
    """Write ``text`` in UTF-8 to ``path`` atomically."""
    write_bytes(path, text.encode("utf-8"))


def sha256(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file's content, read in blocks of 1 MiB."""
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        while block := handle.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON object atomically, indented, so that it can be read and edited by hand."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_versioned(path: Path, kind: str, version: int, content: Mapping[str, Any]) -> None:
    """Write a JSON object with the keys ``format`` and ``version`` in front, for `read_versioned`."""
    write_json(path, {"format": f"facekd.{kind}", "version": version, **content})


def read_versioned(
    path: Path, kind: str, version: int, error: type[FacekdError], *,
    remedy: str = "run the command that made it again",
) -> dict[str, Any]:
    """Read a JSON object written by `write_versioned`.

    Args:
        path: the file.
        kind: the kind of file, e.g. ``"plan"``.
        version: the version of the format that the caller reads.
        error: the type of error to raise.
        remedy: what the user should do about a file of an older version.

    Raises:
        error: the file is of another kind, or of a newer or older version of the format.
    """
    content = read_json(path, error)
    if content.get("format") != f"facekd.{kind}":
        raise error(f"{path} is not a {kind} file (its format says {content.get('format')!r}); check the path")
    written = content.get("version")
    if not isinstance(written, int) or written < 1:
        raise error(f"{path}: the format version {written!r} is not a positive whole number; restore the file")
    if written > version:
        raise error(
            f"{path}: format version {written} was written by a newer facekd (this one reads version {version}); "
            "upgrade facekd"
        )
    if written < version:
        raise error(
            f"{path}: format version {written} was written by an older facekd (this one reads version {version}); "
            f"{remedy}"
        )
    return content
