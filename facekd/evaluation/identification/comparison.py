"""Is one model better than another on the same people? The paired bootstrap (Efron and Tibshirani 1993, ch. 16)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from facekd.errors import DataError
from facekd.evaluation.identification.per_identity import People
from facekd.evaluation.statistics.bootstrap import bootstrap
from facekd.evaluation.statistics.far import Interval


@dataclass(frozen=True)
class Difference:
    """How much one figure of two models differs; fractions.

    Attributes:
        figure: ``rank-1`` or ``TAR at FAR ...``.
        first: the first model's.
        second: the second's.
        interval: 95 % of first - second over resamples of the people, drawn alike for both.
    """

    figure: str
    first: float
    second: float
    interval: Interval

    @property
    def clear(self) -> bool:
        """Whether the interval leaves out 0."""
        return not self.interval[0] <= 0 <= self.interval[1]

    def describe(self) -> str:
        """The difference as a line to read."""
        low, high = self.interval
        verdict = "a clear difference" if self.clear else "no clear difference"
        return (f"{self.figure}: {self.first:.2%} - {self.second:.2%} = {100 * (self.first - self.second):+.2f} points "
                f"[{100 * low:+.2f}, {100 * high:+.2f}], {verdict}")


def differences(first: People, second: People, figures: Sequence[tuple[str, float, float]], fars: Sequence[str],
                resamples: int = 10_000, seed: int = 0) -> list[Difference]:
    """Compare two models that were measured on the same probes and as many distractors.

    Args:
        first: the first model's counts.
        second: the second's.
        figures: what is compared, with both values: rank-1, then the TAR at each of ``fars``.
        fars: false accept rates as text.
        resamples: bootstrap resamples.
        seed: of the draw.

    Raises:
        DataError: the two were not measured on the same people.
    """
    if (
        not np.array_equal(first.names, second.names) or not np.array_equal(first.sizes, second.sizes)
        or first.distractors != second.distractors
    ):
        raise DataError(
            f"the two results are of different tests ({len(first.sizes)} people with {first.sizes.sum()} probes among "
            f"{first.distractors} distractors, {len(second.sizes)} with {second.sizes.sum()} among "
            f"{second.distractors}); compare models on the same probes and distractors"
        )
    ends = bootstrap(lambda weights: first.figures(weights, fars) - second.figures(weights, fars),
                     (first.sizes > 1).astype(np.int64), resamples, seed)
    return [Difference(name, one, other, (low, high))
            for (name, one, other), (low, high) in zip(figures, ends.tolist(), strict=True)]
