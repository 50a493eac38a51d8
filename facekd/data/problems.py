"""Error messages about text files that contain many faulty lines or entries."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from facekd.errors import DataError
from facekd.text import path_text, shorten

MAX_NAMED = 5
"""Number of problems that an error message names; further ones are only counted."""
_MAX_CHARACTERS = 80
"""Characters of a problem in an error message; the middle of a longer one is cut."""


def join_first(items: Sequence[str], count: int | None = None) -> str:
    """Join the first `MAX_NAMED` items for an error message, and append how many more there are.

    Args:
        items: all items, or at least the first `MAX_NAMED`.
        count: the number of all items; default: the number of ``items``.
    """
    count = len(items) if count is None else count
    more = f" and {count - MAX_NAMED} more" if count > MAX_NAMED else ""
    return "; ".join(shorten(item, _MAX_CHARACTERS) for item in items[:MAX_NAMED]) + more


def raise_if_any(file: Path, problems: Sequence[str], advice: str) -> None:
    """Raise an error that names the first problems of a file; do nothing if there are no problems.

    Args:
        file: the file that has the problems.
        problems: one text per problem, each with its line number or position.
        advice: what the user should do about them.

    Raises:
        DataError: ``problems`` is not empty.
    """
    if problems:
        count = f"{len(problems)} problem" + ("s" if len(problems) > 1 else "")
        raise DataError(f"{path_text(file)} has {count}: {join_first(problems)}; {advice}")
