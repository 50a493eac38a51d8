"""False accept rates (FAR) and the true accept rates (TAR) at them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from facekd.errors import DataError
from facekd.evaluation.types import FloatArray, IntArray, Interval
from facekd.text import short_repr

Count = TypeVar("Count", int, IntArray)


_FAR = re.compile(r"[0-9]{1,9}(\.[0-9]{1,18})?([eE]-?[0-9]{1,2})?")


def parse_far(text: str) -> Fraction:
    """Return a false accept rate.

    Args:
        text: the rate, e.g. ``"1e-4"`` or ``"0.0001"``.

    Raises:
        DataError: the text is no rate above 0 and up to 1.
    """
    rate = Fraction(text) if _FAR.fullmatch(text) else Fraction(0)
    if not 0 < rate <= 1:
        raise DataError(f"{short_repr(text)} is no false accept rate; give a number above 0 and up to 1, e.g. 1e-4")
    return rate


def allowed_false_accepts(far: str, impostors: Count) -> Count:
    """Return floor(FAR * impostors), the impostor pairs that may be accepted, in integer arithmetic.

    Args:
        far: the rate as text, e.g. ``"1e-4"``, so that it is exact.
        impostors: number of impostor pairs, one or an array of them.

    Raises:
        DataError: the text is no rate.
    """
    rate = parse_far(far)
    return impostors * rate.numerator // rate.denominator


def measurable_fars(fars: Sequence[str], impostors: int) -> tuple[list[str], list[str]]:
    """Separate the rates that so many impostor pairs can measure from those that they cannot.

    Args:
        fars: false accept rates as text.
        impostors: number of impostor pairs.

    Returns:
        The rates that allow at least one impostor pair, and one sentence for each of the others.

    Raises:
        DataError: a text is no rate.
    """
    usable, notes = [], []
    for far in fars:
        if allowed_false_accepts(far, impostors) >= 1:
            usable.append(far)
        else:
            needed = math.ceil(1 / parse_far(far))
            notes.append(
                f"TAR at FAR {far} is not given: {impostors:,} impostor pairs allow less than one false accept there; "
                f"at least {needed:,} impostor pairs are needed"
            )
    return usable, notes


def weighted_tar(
    genuine: NDArray[np.floating[Any]], genuine_weights: NDArray[np.integer[Any]],
    impostors: NDArray[np.floating[Any]], impostor_weights: NDArray[np.integer[Any]], limits: IntArray,
) -> FloatArray:
    """Compute the largest TAR of any threshold that accepts at most so many impostors, for weighted items.

    An item is accepted if its score is above the threshold, so a genuine item with exactly an impostor's score is
    accepted only together with that impostor.

    Args:
        genuine: [genuine], scores in falling order; minus infinity for an item that no threshold accepts.
        genuine_weights: [genuine], how often each item counts.
        impostors: [impostors], scores in falling order; the lowest ones can be omitted if no limit reaches them.
        impostor_weights: [impostors], how often each item counts.
        limits: int64 [limits], impostors that may be accepted.

    Returns:
        float64 [limits].
    """
    accepted = np.concatenate([[0], np.cumsum(genuine_weights, dtype=np.int64)])
    # The threshold is the score of the first impostor that would exceed the limit: it is the highest one refused.
    first_refused = np.searchsorted(np.cumsum(impostor_weights, dtype=np.int64), limits, "right")
    thresholds = np.append(impostors, -np.inf)[first_refused]
    rates: FloatArray = accepted[np.searchsorted(-genuine, -thresholds, "left")] / accepted[-1]
    return rates


def format_percent(value: float, interval: Interval | None) -> str:
    """Format a fraction and its 95 % interval, e.g. ``96.30 % [95.71, 96.85]``."""
    interval_text = f" [{100 * interval[0]:.2f}, {100 * interval[1]:.2f}]" if interval else ""
    return f"{100 * value:.2f} %{interval_text}"


def format_tars(tar: Mapping[str, float | None], intervals: Mapping[str, Interval | None],
                thresholds: Mapping[str, float | None] | None = None) -> list[str]:
    """Format a line for each true accept rate that was measured.

    Args:
        tar: true accept rates by false accept rate.
        intervals: their intervals.
        thresholds: the similarities above which a pair is accepted at each rate.
    """
    limits = {far: f", threshold {threshold:.3f}" for far, threshold in (thresholds or {}).items()
              if threshold is not None}
    return [f"TAR {format_percent(rate, intervals[far])} at FAR {far}{limits.get(far, '')}"
            for far, rate in tar.items() if rate is not None]
