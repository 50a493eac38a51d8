"""Quantities that users write with a unit: ``1MB`` of a file, ``100M`` multiply-adds, ``5ms`` of latency."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from facekd.errors import OptionError
from facekd.text import short_repr

BYTES = {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}
"""Bytes of each unit, in small letters."""
COUNTS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}
MILLISECONDS = {"us": 1e-3, "ms": 1.0, "s": 1e3}
MAX_QUANTITY = 1e15


def parse_bytes(text: str, name: str) -> int:
    """Return the bytes of a text like ``1MB`` or ``0.5 MiB``; 1 MB is 10^6 bytes and 1 MiB is 2^20.

    Args:
        text: a number and a unit; the case of the unit does not matter.
        name: the option, for the message.

    Raises:
        OptionError: the text is no such quantity, or not above 0.
    """
    return round(_parse(text, name, BYTES, "a size like 1MB, 300kB or 0.5MiB"))


def parse_count(text: str, name: str) -> int:
    """Return the number of a text like ``100M``, ``2.5G``, ``300k`` or ``1000000``; see `parse_bytes`.

    Raises:
        OptionError: see `parse_bytes`.
    """
    return round(_parse(text, name, COUNTS, "a number like 100M, 2.5G or 300k"))


def parse_milliseconds(text: str, name: str) -> float:
    """Return the milliseconds of a text like ``5ms``, ``800us`` or ``0.01s``; see `parse_bytes`.

    Raises:
        OptionError: see `parse_bytes`.
    """
    return _parse(text, name, MILLISECONDS, "a time like 5ms, 800us or 0.01s")


def _parse(text: str, name: str, units: Mapping[str, float], example: str) -> float:
    match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+(?:e[0-9]{1,2})?)\s*([a-z]*)\s*", str(text).lower()[:40], re.ASCII)
    value = float(match[1]) * units[match[2]] if match and match[2] in units else math.nan
    if not 0 < value <= MAX_QUANTITY:
        raise OptionError(f"{name} must be {example}, not {short_repr(text)}")
    return value
