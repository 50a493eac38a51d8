"""The one way in for image files: regular files of a bounded size, so that no pipe or device is waited for."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from facekd.errors import DataError
from facekd.text import path_text

MAX_FILE_BYTES = 1 << 30
"""Largest encoded image in bytes."""
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def read_image_file(path: Path | str, remedy: str = "restore it") -> bytes:
    """Read the encoded bytes of an image file.

    Args:
        path: the file.
        remedy: what the user should do about an unreadable file.

    Raises:
        DataError: the file is absent, unreadable, no regular file, or larger than `MAX_FILE_BYTES`.
    """
    try:
        descriptor = os.open(path, _FLAGS)
        with open(descriptor, "rb", buffering=0) as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise DataError(f"{path_text(path)} cannot be read (it is no regular file); {remedy}")
            if status.st_size > MAX_FILE_BYTES:
                raise DataError(f"{path_text(path)} has {status.st_size:,} bytes, an image has at most "
                                f"{MAX_FILE_BYTES:,}; remove it")
            return file.read()
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
        raise DataError(f"{path_text(path)} cannot be read ({getattr(error, 'strerror', error)}); {remedy}") from error
