"""What the doctor says: one finding a problem, with examples and advice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Level = Literal["error", "warning", "note"]
EXAMPLES = 3
"""Places a finding names; it counts the rest."""


@dataclass(frozen=True)
class Finding:
    """Something a person should know about a face set.

    Attributes:
        level: ``error``: training or testing on it fails or misleads; ``warning``: look at it; ``note``: good to know.
        what: what was found, and in which set.
        where: the first few places; empty where it concerns the set as a whole.
        advice: what to do about it.
        count: how many images, identities, groups or names it concerns.
    """

    level: Level
    what: str
    where: str
    advice: str
    count: int


def examples(places: Sequence[str], count: int | None = None) -> str:
    """The first few of many places, and how many more there are.

    Args:
        places: all of them, or at least the first few.
        count: of all; by default as many as are given.
    """
    count = len(places) if count is None else count
    more = f" and {count - EXAMPLES} more" if count > EXAMPLES else ""
    return "; ".join(places[:EXAMPLES]) + more
