"""A part of what a training needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Share:
    """A part of what a training needs.

    Attributes:
        what: a few words.
        size: bytes.
    """

    what: str
    size: int


def total(shares: Sequence[Share]) -> int:
    """Bytes of all shares."""
    return sum(share.size for share in shares)


def spoken(size: int) -> str:
    """Bytes in GiB, or in MiB where they are few."""
    mebi = size / 2**20
    return f"{mebi / 1024:,.1f} GiB" if mebi >= 1024 else f"{mebi:,.0f} MiB" if mebi >= 10 else f"{mebi:.2f} MiB"
