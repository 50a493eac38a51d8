"""The decision whether an exported file may stay in a package, by what it loses in figures of verification."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facekd.errors import DataError, ExportError, did_you_mean
from facekd.evaluation.statistics.far import measurable_fars, parse_far
from facekd.evaluation.verification.loss import Loss
from facekd.text import shorten
from facekd.utils.functional import l2_normalize_rows

MeasureLayers = Callable[[], Sequence[tuple[str, float]]]
"""Returns layer and signal-to-noise ratio in dB, the lowest first, as `layer_snr` does; it is slow and called only for
a message."""
METRICS = ("accuracy", "auc", "eer")
"""The figures of verification that a gate can limit, besides ``tar@FAR``."""


@dataclass(frozen=True)
class Gate:
    """The loss of one figure that a file may have.

    Attributes:
        metric: one of `METRICS`, or ``tar@FAR``.
        points: the limit in percentage points.
    """

    metric: str
    points: float

    @property
    def far(self) -> str | None:
        """The false accept rate of ``tar@FAR``."""
        return self.metric.partition("@")[2] or None

    def __str__(self) -> str:
        """Return the text that `parse_gate` reads."""
        return f"{self.metric}={self.points:g}"

    def check(self, file: Path, loss: Loss, reference: str, measure_layers: MeasureLayers | None = None) -> str | None:
        """Compare the loss of a file with the limit.

        Args:
            file: the path in messages.
            loss: the loss in the metric of this gate.
            reference: what the loss is measured against, in words.
            measure_layers: measures the error of each layer for the message; None if there is no such measurement.

        Returns:
            A warning if the loss exceeds the limit but its interval does not; None if the loss does not exceed it.

        Raises:
            ExportError: the lower end of the interval exceeds the limit.
        """
        low, high = loss.interval
        if loss.points <= self.points:
            return None
        lost = f"{loss.points:.2f} points of {self.metric} [{low:.2f}, {high:.2f}] against {reference}"
        worst = measure_layers()[:3] if measure_layers else ()
        layers = f"; most is lost in {', '.join(f'{name} ({ratio:.1f} dB)' for name, ratio in worst)}" if worst else ""
        if low > self.points:
            remedy = "train its int8 weights with --qat-epochs 1" if measure_layers else "export a better network"
            raise ExportError(f"{file} was refused: it loses {lost}, more than --gate {self} allows{layers}; {remedy}, "
                              f"leave this precision out by --precision, or allow more by --gate {self.metric}=POINTS")
        return (f"{file.name} loses {lost}, more than --gate {self} allows but not clearly so{layers}; measure it on "
                "more pairs")


DEFAULT_GATE = Gate("accuracy", 0.3)


def parse_gates(texts: Sequence[str]) -> list[Gate]:
    """Parse gates; `DEFAULT_GATE` if there are none.

    Args:
        texts: each ``METRIC=POINTS``, e.g. ``accuracy=0.3`` or ``tar@1e-4=1.0``.

    Raises:
        ExportError: a metric is unknown or given twice, a rate is none, or points are negative or no number.
    """
    gates = [_parse_gate(text) for text in texts] or [DEFAULT_GATE]
    metrics = [gate.metric for gate in gates]
    for metric in metrics:
        if metrics.count(metric) > 1:
            raise ExportError(f"--gate {metric} is given twice; give one limit for each figure")
    return gates


def _parse_gate(text: str) -> Gate:
    metric, _, limit = text.partition("=")
    name, at, far = metric.partition("@")
    if name != "tar" if at else name not in METRICS:
        raise ExportError(f"--gate {shorten(text, 100)}: unknown figure: "
                          f"{did_you_mean(metric, [*METRICS, 'tar@1e-3', 'tar@1e-4'])}; write e.g. --gate tar@1e-4=1.0")
    try:
        points = float(limit)
        if at:
            parse_far(far)
    except DataError as error:
        raise ExportError(f"--gate {shorten(text, 100)}: {error}") from error
    except ValueError:
        points = math.nan
    if not (math.isfinite(points) and points >= 0):
        raise ExportError(f"--gate {shorten(text, 100)}: the limit is in percentage points, 0 or more, e.g. "
                          f"{metric}=0.3")
    return Gate(metric, points)


def check_measurable(gates: Sequence[Gate], impostors: int, pairs_file: str) -> None:
    """Raise an ExportError if so many impostor pairs cannot measure the false accept rate of a gate."""
    for gate in gates:
        if gate.far and not measurable_fars([gate.far], impostors)[0]:
            needed = math.ceil(1 / parse_far(gate.far))
            raise ExportError(f"--gate {gate}: a FAR of {gate.far} needs at least {needed:,} impostor pairs, the "
                              f"images of {shorten(pairs_file, 200)} make {impostors:,}; give a list of more people, "
                              "or a gate at a higher FAR")


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
