"""The diagnosis of a student: whether the premise of Route Constrained Optimization holds for it.

The premise is that a converged teacher is a hard target: a student that was trained with it is stuck, nearer to an
earlier state of the teacher than to the end. Only then can a route help. A student that has come close to the end may
be slightly nearer to a point shortly before it; that is no sign of being stuck.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from facekd.errors import RouteError

LEVEL = 0.95
RESAMPLES = 1000
SEED = 0
STUCK_SHARE = 0.5
"""A student is stuck if more than this share of the distance from the start of the route to its end is left; our
choice. On sparse parity a stuck student has 0.98 of it left, one that arrived 0.05."""
MAX_DRAWS = 2**20
"""Images drawn at a time (resamples x images); it bounds the memory."""


@dataclass(frozen=True)
class Diagnosis:
    """The comparison of a student with the end of a route and with the nearest earlier point.

    Attributes:
        nearest_point: the number of the point that has the lowest congruence loss with the student, without the end.
        nearest_loss: the congruence loss of the student with this point.
        end_loss: the congruence loss of the student with the end of the route.
        route_loss: the congruence loss of the first point of the route with the end.
        interval: the 95 % interval of ``end_loss - nearest_loss`` over resamples of the images, the same for both.
        images: the number of images.
    """

    nearest_point: int
    nearest_loss: float
    end_loss: float
    route_loss: float
    interval: tuple[float, float]
    images: int

    @property
    def premise_holds(self) -> bool:
        """Return whether the student is stuck: far from the end, and clearly nearer to an earlier point."""
        return self.interval[0] > 0 and self.end_loss > STUCK_SHARE * self.route_loss

    def describe(self) -> str:
        """Return the result as one sentence."""
        low, high = self.interval
        verdict = "the premise holds: the student is stuck near an earlier point of the route"
        if not self.premise_holds:
            verdict = "the premise does not hold: plain distillation (--strategy final) is the better choice"
        return (
            f"{verdict}; congruence loss with point {self.nearest_point}, the nearest earlier point: "
            f"{self.nearest_loss:.4g}, with the end: {self.end_loss:.4g} (from the start of the route to its end: "
            f"{self.route_loss:.4g}), difference "
            f"{self.end_loss - self.nearest_loss:+.3g} [{low:+.3g}, {high:+.3g}] (95% interval, {self.images:,} images)"
        )


def diagnose_student(student_losses: Tensor, route_loss: float) -> Diagnosis:
    """Compare a student with the end of a route and with the nearest earlier point.

    Args:
        student_losses: [points, images], the result of `facekd.route.congruence.Congruence.student_losses` for all
            points of the route.
        route_loss: the congruence loss of the first point of the route with the end.

    Raises:
        RouteError: the route has no earlier point.
    """
    losses = student_losses.double().numpy()
    if len(losses) < 2:
        raise RouteError("a route of one point has no earlier point to compare; record more (route.every_epochs)")
    means = losses.mean(axis=1)
    nearest = int(means[:-1].argmin())
    interval = _bootstrap_mean(losses[-1] - losses[nearest])
    return Diagnosis(nearest, float(means[nearest]), float(means[-1]), route_loss, interval, losses.shape[1])


def _bootstrap_mean(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return the percentile interval of the mean of values [images] (Efron 1979)."""
    generator = np.random.default_rng(SEED)
    max_rows = max(1, MAX_DRAWS // len(values))
    means = []
    for start in range(0, RESAMPLES, max_rows):
        rows = min(max_rows, RESAMPLES - start)
        means.append(values[generator.integers(len(values), size=(rows, len(values)))].mean(axis=1))
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(np.concatenate(means), [tail, 1 - tail])
    return float(low), float(high)
