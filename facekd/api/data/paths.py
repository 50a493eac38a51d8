"""Paths that the user gave."""

from __future__ import annotations

from pathlib import Path

from facekd.errors import DataError


def require_path(value: Path | str, name: str) -> Path:
    """Return a path; an empty text, which would mean the current folder, is refused.

    Args:
        value: the path that the user gave.
        name: what it is the path of, for the message.

    Raises:
        DataError: it is empty.
    """
    if value == "":
        raise DataError(f"the path of {name} is empty; give a path ('.' is the current folder)")
    return Path(value)
