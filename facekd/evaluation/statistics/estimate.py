"""A figure with its bootstrap interval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from facekd.evaluation.types import Interval


@dataclass(frozen=True)
class Estimate:
    """A figure and its 95 % bootstrap interval."""

    value: float
    interval: Interval

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able record."""
        return {"value": self.value, "interval": list(self.interval)}

    def describe(self) -> str:
        """Format the figure, e.g. ``0.9213 [0.9187, 0.9240]``."""
        return f"{self.value:.4f} [{self.interval[0]:.4f}, {self.interval[1]:.4f}]"
