"""False accept rates: how many impostor pairs one allows, and when there are too few pairs to speak of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Interval = tuple[float, float]
Count = TypeVar("Count", int, NDArray[np.int64])


def allowed(far: str, impostors: Count) -> Count:
    """Impostor pairs that may be accepted at a false accept rate, floor(FAR * impostors), in whole-number arithmetic.

    Args:
        far: the rate as text, e.g. ``"1e-4"``, so that it is exact.
        impostors: number of impostor pairs, one or an array of them.
    """
    rate = Fraction(far)
    return impostors * rate.numerator // rate.denominator


def measurable(fars: Sequence[str], impostors: int) -> tuple[list[str], list[str]]:
    """Part the rates that so many impostor pairs can measure from those that they cannot.

    Returns:
        The rates that allow at least one impostor pair, and one sentence for each of the others.
    """
    usable, notes = [], []
    for far in fars:
        if allowed(far, impostors) >= 1:
            usable.append(far)
        else:
            needed = math.ceil(1 / Fraction(far))
            notes.append(
                f"TAR at FAR {far} is not given: {impostors:,} impostor pairs allow less than one false accept there; "
                f"at least {needed:,} impostor pairs are needed"
            )
    return usable, notes


def percent(value: float, interval: Interval | None) -> str:
    """A fraction and its 95 % interval as text, e.g. ``96.30 % [95.71, 96.85]``."""
    ends = f" [{100 * interval[0]:.2f}, {100 * interval[1]:.2f}]" if interval else ""
    return f"{100 * value:.2f} %{ends}"


def tar_lines(tar: Mapping[str, float | None], intervals: Mapping[str, Interval | None]) -> list[str]:
    """A line for each true accept rate that could be measured."""
    return [f"TAR {percent(rate, intervals[far])} at FAR {far}" for far, rate in tar.items() if rate is not None]
