"""Checks of an output before the work: its place, its kind, and the names that a user gives."""

from __future__ import annotations

import errno
import os
import re
import tempfile
from pathlib import Path

from facekd.errors import FacekdError, SetupError
from facekd.io.temporaries import MAX_NAME_BYTES
from facekd.io.writing import writing
from facekd.text import path_text, short_repr

MAX_PLAIN_BYTES = 150
"""Bytes of a name that the user gives to results or a package."""
_NOT_PLAIN = re.compile(r"[/\\\x00-\x1f\x7f-\x9f]")
_LOCK_NAME = re.compile(r"\..*\.(lock|holder)", re.DOTALL)


def is_empty_folder(path: Path) -> bool:
    """Return whether a path is a folder without files; the lock of `facekd.io.locks` is not counted."""
    return path.is_dir() and all(_LOCK_NAME.fullmatch(entry.name) for entry in path.iterdir())


def check_writable(path: Path | str, *, folder: bool = False) -> None:
    """Check before the work that an output can be written; nothing is made or changed.

    Args:
        path: the output; it and its parents need not exist.
        folder: whether the output is a folder, by default a file.

    Raises:
        SetupError: a file is in the way of a folder or the other way round, or the place cannot be written.
    """
    path = Path(path)
    with writing(path):
        if "\0" in str(path):
            raise SetupError(f"{path_text(path)} holds a zero byte, which no path can hold; choose another output")
        if any(len(os.fsencode(name)) > MAX_NAME_BYTES for name in path.parts):
            raise OSError(errno.ENAMETOOLONG, "File name too long")
        check_kind(path, folder=folder)
        parent_folder = path if folder else path.parent
        while not parent_folder.exists():
            parent_folder = parent_folder.parent
        try:  # permissions alone do not tell it on network and special file systems
            tempfile.TemporaryFile(dir=parent_folder).close()
        except OSError as error:
            raise OSError(error.errno, error.strerror) from error  # without the name of the trial


def check_kind(path: Path, *, folder: bool) -> None:
    """Check that what exists at the path of an output is of its kind.

    Raises:
        SetupError: a file is in the way of a folder or the other way round, or something that is neither.
    """
    if path.exists() and not (path.is_dir() if folder else path.is_file()):
        found = "a folder" if path.is_dir() else "no folder" if folder else "no regular file"
        raise SetupError(f"{path_text(path)} is {found}, the output is a {'folder' if folder else 'file'}; "
                         "choose another output")


def plain_name(name: str, option: str = "--name", error: type[FacekdError] = SetupError) -> str:
    """Return a name that is part of a file name, if it cannot lead out of its folder.

    Args:
        name: the name that the user gave.
        option: where it was given, for the message.
        error: the type of error to raise.

    Raises:
        error: the name is empty, begins with a dot or a dash, is longer than 150 bytes, or holds a slash, a backslash
            or a control character.
    """
    if not name or name[0] in ".-" or _NOT_PLAIN.search(name):
        raise error(f"{option} {short_repr(name)} is no plain name; use one without slashes, control characters and "
                    "a dot or dash in front")
    if len(os.fsencode(name)) > MAX_PLAIN_BYTES:
        raise error(f"{option} {short_repr(name, 40)} is too long; use at most {MAX_PLAIN_BYTES} bytes")
    return name
