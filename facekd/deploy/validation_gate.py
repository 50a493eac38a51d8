"""The decision whether an exported file may stay in a package, by the verification accuracy that it loses."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facekd.errors import ExportError
from facekd.evaluation.statistics.difference import Difference
from facekd.utils.functional import l2_normalize_rows

MeasureLayers = Callable[[], Sequence[tuple[str, float]]]
"""Returns layer and signal-to-noise ratio in dB, the lowest first, as `layer_snr` does; it is slow and called only for
a message."""


@dataclass(frozen=True)
class AccuracyGate:
    """The verification accuracy that a file may lose against the float network.

    Attributes:
        max_drop: the limit in percentage points.
    """

    max_drop: float

    def __post_init__(self) -> None:
        """Raise an ExportError if the limit is negative or not finite."""
        if not (math.isfinite(self.max_drop) and self.max_drop >= 0):
            raise ExportError(f"the gate's max-drop is {self.max_drop}; give percentage points, 0 or more, e.g. 0.3")

    def check(self, file: Path, drop: Difference, measure_layers: MeasureLayers | None = None) -> str | None:
        """Compare the loss of a file with the limit.

        Args:
            file: the path in messages.
            drop: accuracy of the network and of the file, with the paired 95 % interval of the difference.
            measure_layers: measures the error of each layer for the message; None if there is no such measurement.

        Returns:
            A warning if the loss exceeds the limit but its interval does not; None if the loss does not exceed it.

        Raises:
            ExportError: the lower end of the interval exceeds the limit.
        """
        points, low, high = to_percentage_points(drop)
        if points <= self.max_drop and low <= self.max_drop:
            return None
        loss = f"{points:.2f} points of verification accuracy [{low:.2f}, {high:.2f}] against the float network"
        worst = measure_layers()[:3] if measure_layers else ()
        layers = f"; most is lost in {', '.join(f'{name} ({ratio:.1f} dB)' for name, ratio in worst)}" if worst else ""
        if low > self.max_drop:
            raise ExportError(
                f"{file} was refused: it loses {loss}, more than max-drop {self.max_drop:g}{layers}; "
                "keep the worst layers in float, calibrate on more faces, or allow a larger max-drop"
            )
        return (f"{file.name} loses {loss}, more than max-drop {self.max_drop:g} but not clearly so{layers}; "
                "measure it on more pairs")


def to_percentage_points(drop: Difference) -> tuple[float, float, float]:
    """Return a loss and its interval in percentage points, rounded so that 0.3 does not exceed a limit of 0.3."""
    low, high = (round(100 * end, 9) for end in drop.interval)
    return round(100 * (drop.first - drop.second), 9), low, high


@dataclass(frozen=True)
class CosineSummary:
    """Cosine similarity of the embeddings that two models give for the same images.

    Attributes:
        mean: the mean over the images.
        minimum: the minimum over the images.
        images: number of images.
    """

    mean: float
    minimum: float
    images: int


def summarize_cosines(first: NDArray[np.floating], second: NDArray[np.floating]) -> CosineSummary:
    """Summarize the cosine similarities, row by row, of two sets of embeddings [images, dimension], in float64."""
    cosines = (l2_normalize_rows(first.astype(np.float64)) * l2_normalize_rows(second.astype(np.float64))).sum(axis=1)
    return CosineSummary(float(cosines.mean()), float(cosines.min()), len(cosines))
