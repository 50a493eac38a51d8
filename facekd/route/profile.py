"""The profile of a route: the teacher's accuracy and congruence at each of its points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facekd.route.congruence import Congruence
from facekd.route.route import Point, Route


@dataclass(frozen=True)
class PointProfile:
    """One point of a route with its measurements.

    Attributes:
        number: the number of the point, from 0.
        point: the point as recorded.
        accuracy: the share of the images whose class the teacher predicts correctly at this point; None for faces.
        congruence_to_end: the congruence loss of this point with the end of the route: the loss that a student equal to
            the teacher at this point would have with the end; None without images.
        congruence_to_student: the congruence loss of a given student with this point; None without a student.
    """

    number: int
    point: Point
    accuracy: float | None = None
    congruence_to_end: float | None = None
    congruence_to_student: float | None = None


def profile_route(route: Route, congruence: Congruence | None = None, labels: NDArray[np.int64] | None = None,
                  with_student: bool = False) -> list[PointProfile]:
    """Measure every point of a route.

    Args:
        route: the route to profile.
        congruence: the congruence over some images; without it the profile contains the recorded facts only.
        labels: int64 [images], the classes of these images, if the outputs are logits.
        with_student: whether to compare the student of ``congruence`` with every point.
    """
    if congruence is None:
        return [PointProfile(number, point) for number, point in enumerate(route.points)]
    outputs = [congruence.outputs(number) for number in range(len(route.points))]
    student_losses = congruence(range(len(route.points))) if with_student else None
    profiles = []
    for number, point in enumerate(route.points):
        accuracy = None
        if labels is not None:
            accuracy = float((outputs[number].argmax(1).numpy() == labels).mean())
        to_end = congruence.distance(outputs[number], outputs[-1])
        to_student = None if student_losses is None else student_losses[number]
        profiles.append(PointProfile(number, point, accuracy, to_end, to_student))
    return profiles
