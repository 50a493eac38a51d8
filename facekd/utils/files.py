"""Files as the house writes them: whole or not at all, checksummed, with a format name and version."""

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

from facekd.errors import DataError, FacekdError, SetupError


@contextmanager
def room_for(path: Path) -> Iterator[None]:
    """The context in which ``path`` is written.

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
def atomic(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path``; on success it is flushed to disk and renamed over ``path``.

    A reader sees the old file or the whole new one, never a part, whenever the process is killed.

    Raises:
        SetupError: the disk is full; the temporary file is removed and ``path`` is untouched.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with room_for(path):
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
def new_folder(path: Path, error: type[FacekdError]) -> Iterator[Path]:
    """Give a temporary folder beside ``path``; on success it is renamed to ``path``, otherwise removed.

    Raises:
        error: ``path`` exists and is no empty folder; it is never touched.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise error(f"{path} exists and is not an empty folder; choose another place or remove it first")
    building = path.with_name(f".{path.name}.tmp")
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    try:
        yield building
        building.replace(path)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _is_disk_full(error: BaseException) -> bool:
    """Libraries wrap ENOSPC in errors of their own (safetensors, torch), so the text counts as well."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return "No space left on device" in str(error)


def _flush_folder(folder: Path) -> None:
    """Make the rename itself durable; a no-op where folders cannot be opened (Windows)."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_bytes(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path`` atomically."""
    with atomic(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 ``text`` to ``path`` atomically."""
    write_bytes(path, text.encode("utf-8"))


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's content, read in blocks of 1 MiB."""
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        while block := handle.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON object atomically, indented, so that it can be read and edited by hand."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path, error: type[FacekdError] = DataError) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        error: the file is absent, is not JSON, or holds something other than an object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise error(f"{path} does not exist; check the path") from None
    except (OSError, ValueError) as problem:
        raise error(f"{path} cannot be read as JSON ({problem}); restore it or make it again") from problem
    if not isinstance(content, dict):
        raise error(f"{path} holds a JSON {type(content).__name__}, an object is needed; restore it or make it again")
    return content


def write_versioned(path: Path, kind: str, version: int, content: Mapping[str, Any]) -> None:
    """Write a JSON object with ``format`` and ``version`` in front, for `read_versioned`."""
    write_json(path, {"format": f"facekd.{kind}", "version": version, **content})


def read_versioned(path: Path, kind: str, newest: int, error: type[FacekdError]) -> dict[str, Any]:
    """Read a file written by `write_versioned`; older versions are given as they are, the caller upgrades them.

    Raises:
        error: not such a file, or one written by a newer facekd.
    """
    content = read_json(path, error)
    if content.get("format") != f"facekd.{kind}":
        raise error(f"{path} is not a {kind} file (its format says {content.get('format')!r}); check the path")
    version = content.get("version")
    if not isinstance(version, int) or version < 1:
        raise error(f"{path}: the format version {version!r} is not a positive whole number; restore the file")
    if version > newest:
        raise error(
            f"{path}: format version {version} was written by a newer facekd (this one reads up to {newest}); "
            "upgrade facekd"
        )
    return content
