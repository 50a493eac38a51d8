"""The findings of ``facekd doctor``: one per problem, with examples and advice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from facekd.text import shorten

Level = Literal["error", "warning", "note"]
MAX_EXAMPLES = 3
"""Number of examples in a finding; further ones are only counted."""
MAX_CHARACTERS = 300
"""Characters of an example; the middle of a longer one is cut."""


@dataclass(frozen=True)
class Finding:
    """One fact about a face set that the user should know.

    Attributes:
        level: ``error`` if training or testing on the set fails or misleads; ``warning`` if a person should check it;
            ``note`` for information.
        message: the problem, and the set that has it.
        examples: the first few examples; empty if the finding is about the set as a whole.
        advice: what to do about it.
        count: the number of images, identities, groups or names that are affected.
    """

    level: Level
    message: str
    examples: str
    advice: str
    count: int


def format_examples(examples: Sequence[str], count: int | None = None) -> str:
    """Join the first few examples, and append how many more there are.

    Args:
        examples: all examples, or at least the first `MAX_EXAMPLES`.
        count: the number of all examples; default: the number of ``examples``.
    """
    count = len(examples) if count is None else count
    more = f" and {count - MAX_EXAMPLES} more" if count > MAX_EXAMPLES else ""
    return "; ".join(shorten(example, MAX_CHARACTERS) for example in examples[:MAX_EXAMPLES]) + more
