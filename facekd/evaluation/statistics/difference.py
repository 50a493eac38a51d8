"""The difference of one figure between two models, with its paired bootstrap interval."""

from __future__ import annotations

from dataclasses import dataclass

from facekd.evaluation.types import Interval


@dataclass(frozen=True)
class Difference:
    """The difference of one figure between two models; fractions.

    Attributes:
        metric: ``accuracy``, ``rank-1`` or ``TAR at FAR ...``.
        first: value of the first model.
        second: value of the second model.
        interval: 95 % interval of first - second over resamples; each resample is the same for both models.
    """

    metric: str
    first: float
    second: float
    interval: Interval

    @property
    def is_significant(self) -> bool:
        """Return whether the interval excludes 0."""
        return not self.interval[0] <= 0 <= self.interval[1]

    def describe(self) -> str:
        """Format the difference as a line for people."""
        low, high = self.interval
        verdict = "a clear difference" if self.is_significant else "no clear difference"
        return (f"{self.metric}: {self.first:.2%} - {self.second:.2%} = {100 * (self.first - self.second):+.2f} points "
                f"[{100 * low:+.2f}, {100 * high:+.2f}], {verdict}")
