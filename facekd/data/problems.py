"""Error messages about text files that contain many faulty lines or entries."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from facekd.errors import DataError

MAX_NAMED = 5
"""Number of problems that an error message names; further ones are only counted."""


def join_first(items: Sequence[str]) -> str:
    """Join the first `MAX_NAMED` items for an error message, and append how many more there are."""
    more = f" and {len(items) - MAX_NAMED} more" if len(items) > MAX_NAMED else ""
    return "; ".join(items[:MAX_NAMED]) + more


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
        raise DataError(f"{file} has {count}: {join_first(problems)}; {advice}")
