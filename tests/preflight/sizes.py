"""Sums of the resources that a training run needs."""

from __future__ import annotations

from facekd.preflight.resources import ResourceUse, total_bytes


def bytes_of(uses: list[ResourceUse], words: str) -> int:
    """Return the bytes of all items whose name contains ``words``."""
    return total_bytes([use for use in uses if words in use.name])
