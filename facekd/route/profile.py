"""The profile of a route: the teacher's metric, its changes and its congruence at each of its points."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from facekd.route.congruence import Congruence
from facekd.route.rotation import aligned_distance
from facekd.route.route import Point, Route
from facekd.utils.functional import l2_normalize, l2_normalize_rows

MAX_PAIR_IMAGES = 2048
"""The largest number of images whose pairs are compared, 2 million pairs; a larger set is represented by some of its
identities."""
MAX_BLOCK_ELEMENTS = 2**18
"""Cosines computed at a time; bounds the memory."""

Floats = NDArray[np.floating[Any]]
Blocks = Iterator[tuple[NDArray[np.float32], NDArray[np.bool_]]]


@dataclass(frozen=True)
class PointProfile:
    """One point of a route with its measurements; a measurement that was not possible is None.

    Attributes:
        number: the number of the point, from 0.
        point: the point as recorded.
        metric: how well the teacher does at this point, in [0, 1]: ``accuracy``, the share of the images whose class it
            predicts correctly; or for faces ``AUC``, see `pair_auc`.
        metric_name: ``accuracy`` or ``AUC``; None without a metric.
        net_change: which share of its net change the teacher has made: 0 at the first point, 1 at the end, see
            `net_change`; None if the first point equals the end.
        congruence_to_end: the congruence loss of this point with the end of the route: the loss that a student equal to
            the teacher at this point would have with the end; None without images.
        aligned_to_end: for embeddings: their distance from the end of the route after the best rotation, see
            `facekd.route.rotation.aligned_distance`; compare it with ``congruence_to_end``. None for classes.
        congruence_to_student: the congruence loss of a given student with this point; None without a student.
    """

    number: int
    point: Point
    metric: float | None = None
    metric_name: str | None = None
    net_change: float | None = None
    congruence_to_end: float | None = None
    aligned_to_end: float | None = None
    congruence_to_student: float | None = None


def profile_route(route: Route, congruence: Congruence | None = None, labels: NDArray[np.int64] | None = None,
                  student_losses: Tensor | None = None) -> list[PointProfile]:
    """Measure every point of a route.

    Args:
        route: the route to profile.
        congruence: the congruence over some images; without it the profile contains the recorded facts only.
        labels: int64 [images], the classes or the identities of these images, for the metric.
        student_losses: [points, images], the result of `Congruence.student_losses` for all points.
    """
    if congruence is None:
        return [PointProfile(number, point) for number, point in enumerate(route.points)]
    end = congruence.outputs(len(route.points) - 1)
    closed_set = congruence.temperature is not None
    first = congruence.outputs(0)
    profiles = []
    for number, point in enumerate(route.points):
        outputs = congruence.outputs(number)
        metric, metric_name = _measure(outputs, labels, closed_set) if labels is not None else (None, None)
        change = net_change(outputs, first, end, closed_set)
        to_student = None if student_losses is None else float(student_losses[number].mean())
        to_end = congruence.distance(outputs, end)
        aligned = None if closed_set else aligned_distance(outputs.numpy(), end.numpy())
        profiles.append(PointProfile(number, point, metric, metric_name, change, to_end, aligned, to_student))
    return profiles


def net_change(outputs: Tensor, first: Tensor, end: Tensor, closed_set: bool) -> float | None:
    """Return which share of its net change the teacher has made at a point of its route.

    a(x) is the agreement of a point with the end of the route: the mean inner product of their predicted probabilities
    (classes) or their mean cosine (embeddings). The share is (a(x) - a(first)) / (a(end) - a(first)). The noise of SGD,
    by which neighboring points differ, has no agreement with the end. A sum of the distances between neighboring
    points, in contrast, consists of this noise where the teacher stands still, and grows with the number of points.

    Args:
        outputs: the outputs of the point, [images, D].
        first: the outputs of the first point, [images, D].
        end: the outputs of the end, [images, D].
        closed_set: whether the outputs are logits, not embeddings.

    Returns:
        0 for the first point, 1 for the end; it may be less or more between; None if the first point agrees with the
        end as much as the end with itself.
    """
    point, start, target = (x.double().softmax(1) if closed_set else l2_normalize(x.double())
                            for x in (outputs, first, end))
    whole = float(((target - start) * target).sum())
    return float(((point - start) * target).sum()) / whole if whole > 0 else None


def _measure(outputs: Tensor, labels: NDArray[np.int64], closed_set: bool) -> tuple[float | None, str | None]:
    """Return the metric of outputs [images, D] and its name."""
    if closed_set:
        return float((outputs.argmax(1).numpy() == labels).mean()), "accuracy"
    rows = _representative_images(labels)
    auc = pair_auc(outputs.numpy()[rows], labels[rows])
    return auc, None if auc is None else "AUC"


def _representative_images(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the indices of at most `MAX_PAIR_IMAGES` images: all, or the images of identities drawn at random.

    Drawn are whole identities, because two images at random from a large set hardly ever show the same person.
    """
    if len(labels) <= MAX_PAIR_IMAGES:
        return np.arange(len(labels))
    identities, identity_of_image = np.unique(labels, return_inverse=True)
    position = np.random.default_rng(0).permutation(len(identities))[identity_of_image]
    return np.sort(np.argsort(position, kind="stable")[:MAX_PAIR_IMAGES])


def pair_auc(embeddings: Floats, labels: NDArray[np.int64]) -> float | None:
    """Return the area under the ROC curve of all pairs of images, with the cosine as the score.

    It is the probability that a pair of one identity has a higher cosine than a pair of two identities, where an equal
    cosine counts half (the statistic of Mann and Whitney). It is exact, and computed in blocks of rows.

    Args:
        embeddings: [images, D].
        labels: int64 [images], the identities.

    Returns:
        The area in [0, 1]; None if there are no pairs of one identity, or none of two.
    """
    unit = l2_normalize_rows(np.asarray(embeddings, np.float64))
    genuine = np.sort(np.concatenate([cosines[same] for cosines, same in _pair_blocks(unit, labels)]))
    num_impostors = 0
    half_wins = 0  # in halves, so that the sum is an exact integer
    for cosines, same in _pair_blocks(unit, labels):
        impostors = np.sort(cosines[~same])
        num_impostors += len(impostors)
        below = np.searchsorted(impostors, genuine, side="left")
        not_above = np.searchsorted(impostors, genuine, side="right")
        half_wins += int(below.sum()) + int(not_above.sum())
    num_comparisons = len(genuine) * num_impostors
    return half_wins / (2 * num_comparisons) if num_comparisons else None


def _pair_blocks(unit: NDArray[np.float64], labels: NDArray[np.int64]) -> Blocks:
    """Yield the pairs of images in blocks: their cosines and whether both show one identity, each [pairs]."""
    count = len(unit)
    num_rows = max(1, MAX_BLOCK_ELEMENTS // max(1, count))
    for start in range(0, max(1, count), num_rows):
        rows = np.arange(start, min(start + num_rows, count))
        later = np.arange(count) > rows[:, None]  # each pair once, no image with itself
        same = labels[rows, None] == labels
        # float32 after a product in float64: rounding of the product does not separate equal cosines
        cosines = (unit[rows] @ unit.T).astype(np.float32)
        yield cosines[later], same[later]
