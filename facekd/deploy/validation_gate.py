"""Whether an exported file may stay, by the verification accuracy it loses."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facekd.errors import ExportError
from facekd.evaluation.identification.comparison import Difference

Layers = Callable[[], Sequence[tuple[str, float]]]
"""Layer and signal-to-noise ratio in dB, the worst first, as `layer_noise` has them; asked only when they are told."""


@dataclass(frozen=True)
class Gate:
    """How much verification accuracy a file may lose against the float network.

    Attributes:
        max_drop: in percentage points.
    """

    max_drop: float

    def __post_init__(self) -> None:
        """Refuse what is no limit."""
        if not (math.isfinite(self.max_drop) and self.max_drop >= 0):
            raise ExportError(f"the gate's max-drop is {self.max_drop}; give percentage points, 0 or more, e.g. 0.3")

    def judge(self, file: Path, drop: Difference, layers: Layers | None = None) -> str | None:
        """A sentence of warning where only the drop itself exceeds the limit; None where it does not either.

        Raises:
            ExportError: the lower end of the drop's interval exceeds the limit.
        """
        points, low, high = in_points(drop)
        if points <= self.max_drop and low <= self.max_drop:
            return None
        loses = f"{points:.2f} points of verification accuracy [{low:.2f}, {high:.2f}] against the float network"
        worst = layers()[:3] if layers else ()
        most = f"; most is lost in {', '.join(f'{name} ({ratio:.1f} dB)' for name, ratio in worst)}" if worst else ""
        if low > self.max_drop:
            raise ExportError(
                f"{file} was refused: it loses {loses}, more than max-drop {self.max_drop:g}{most}; "
                "keep the worst layers in float, calibrate on more faces, or allow a larger max-drop"
            )
        return (f"{file.name} loses {loses}, more than max-drop {self.max_drop:g} but not clearly so{most}; "
                "measure it on more pairs")


def in_points(drop: Difference) -> tuple[float, float, float]:
    """What is lost and its interval in percentage points; rounded, so that 0.3 is not more than 0.3."""
    low, high = (round(100 * end, 9) for end in drop.interval)
    return round(100 * (drop.first - drop.second), 9), low, high


@dataclass(frozen=True)
class Cosines:
    """Cosine similarity between the embeddings two models give the same faces: mean and minimum over ``images``."""

    mean: float
    minimum: float
    images: int


def cosines(ours: NDArray[np.floating], theirs: NDArray[np.floating]) -> Cosines:
    """Cosine similarity, row by row, of two sets of embeddings [images, dimension]."""
    values = (normalise(ours) * normalise(theirs)).sum(axis=1)
    return Cosines(float(values.mean()), float(values.min()), len(values))


def normalise(features: NDArray[np.floating]) -> NDArray[np.float64]:
    """Rows of unit length, in float64."""
    rows = features.astype(np.float64)
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12))
