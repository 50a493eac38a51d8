"""The profile of a route: what the teacher was like at each of its points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facekd.route.congruence import Congruence
from facekd.route.route import Point, Route


@dataclass(frozen=True)
class Place:
    """One point of a route, and what was measured there.

    Attributes:
        number: of the point, from 0.
        point: as recorded.
        accuracy: share of the images whose class the teacher names there; None for faces.
        to_end: congruence loss with the end of the route: what the end would cost a student that is just like the
            teacher was here; None where no images are at hand.
        to_student: congruence loss of a given student with this point.
    """

    number: int
    point: Point
    accuracy: float | None = None
    to_end: float | None = None
    to_student: float | None = None


def profile(route: Route, congruence: Congruence | None = None, labels: NDArray[np.int64] | None = None,
            student: bool = False) -> list[Place]:
    """Look at every point of a route.

    Args:
        route: whose points.
        congruence: over some images; without it only what was recorded is told.
        labels: int64 [images], the classes of these images where the outputs are logits.
        student: whether the congruence's student is to be compared with every point.
    """
    if congruence is None:
        return [Place(number, point) for number, point in enumerate(route.points)]
    numbers = range(len(route.points))
    outputs = [congruence.outputs(number) for number in numbers]
    distances = congruence(numbers) if student else [None] * len(outputs)
    return [
        Place(number, point, None if labels is None else float((found.argmax(1).numpy() == labels).mean()),
              congruence.between(found, outputs[-1]), distance)
        for number, point, found, distance in zip(numbers, route.points, outputs, distances, strict=True)
    ]
