"""Amounts of memory and disk space, in bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class ResourceUse:
    """One item of the memory or disk space that a training run needs.

    Attributes:
        name: the item in a few words.
        size: bytes.
    """

    name: str
    size: int


def total_bytes(uses: Sequence[ResourceUse]) -> int:
    """Return the sum of all items in bytes."""
    return sum(use.size for use in uses)


def drop_empty(uses: Sequence[ResourceUse]) -> list[ResourceUse]:
    """Return the items that are larger than 0 bytes."""
    return [use for use in uses if use.size]


def format_bytes(size: int) -> str:
    """Format bytes in GiB; in MiB below 1 GiB, with two decimals below 10 MiB."""
    mebibytes = size / 2**20
    if mebibytes >= 1024:
        return f"{mebibytes / 1024:,.1f} GiB"
    return f"{mebibytes:,.0f} MiB" if mebibytes >= 10 else f"{mebibytes:.2f} MiB"
