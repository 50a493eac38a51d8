"""What one model loses against another on the same pairs, in every figure of verification."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from facekd.data.pairs.pair_set import PairSet
from facekd.evaluation.statistics.bootstrap import Weights, bootstrap
from facekd.evaluation.statistics.difference import Difference
from facekd.evaluation.statistics.far import allowed_false_accepts, measurable_fars
from facekd.evaluation.types import FloatArray
from facekd.evaluation.verification.all_impostors import RatesOfPeople, identities_of_images
from facekd.evaluation.verification.comparison import compare_verification, resampling_groups
from facekd.evaluation.verification.thresholds import highest_impostors
from facekd.evaluation.verification.verify import pair_scores


@dataclass(frozen=True)
class Loss:
    """The loss of a model against a reference in one figure, in percentage points; a negative loss is a gain.

    Attributes:
        metric: ``accuracy``, ``auc``, ``eer``, or ``tar@FAR``, e.g. ``tar@1e-4``.
        reference: the figure of the reference, a fraction.
        model: the figure of the model, a fraction.
        points: the loss.
        interval: its paired 95 % bootstrap interval.
    """

    metric: str
    reference: float
    model: float
    points: float
    interval: tuple[float, float]


def measure_losses(reference: FloatArray, model: FloatArray, pairs: PairSet, fars: Sequence[str] = ()) -> list[Loss]:
    """Compare two models on the images of a pair list.

    Accuracy, AUC and EER are of the pairs of the list, see `compare_verification`. TAR is of its genuine pairs, at
    thresholds of all pairs of its images that show different people (see `measure_all_impostors`); if the people
    cannot be told apart, of the impostor pairs of the list.

    Args:
        reference: float64 [images, dimension] of the reference, rows of unit length, as `pair_features` gives them.
        model: float64 [images, dimension] of the model; the dimension may be another.
        pairs: the pair list.
        fars: false accept rates as text; those that the impostor pairs cannot measure are left out.

    Returns:
        ``accuracy``, ``auc``, ``eer``, then ``tar@FAR``.
    """
    identities = identities_of_images(pairs)
    listed = compare_verification(
        pair_scores(reference, pairs), pair_scores(model, pairs), pairs.same, pairs.fold, resampling_groups(pairs),
        fars=fars if identities is None else (), auc=True, eer=True)
    at_fars = listed[1:-2] if identities is None else _compare_at_all_impostors(reference, model, pairs, fars)
    names = ["accuracy", "auc", "eer", *(f"tar@{difference.metric.rpartition(' ')[2]}" for difference in at_fars)]
    return [_loss(name, difference)
            for name, difference in zip(names, [listed[0], *listed[-2:], *at_fars], strict=True)]


def count_impostors(pairs: PairSet) -> int:
    """Return the number of impostor pairs that a false accept rate of `measure_losses` is measured on."""
    identities = identities_of_images(pairs)
    if identities is None:
        return int((~pairs.same).sum())
    sizes = np.bincount(identities[0])
    return int(sizes.sum() ** 2 - (sizes**2).sum()) // 2


def _compare_at_all_impostors(first: FloatArray, second: FloatArray, pairs: PairSet, fars: Sequence[str], *,
                              resamples: int = 1000, seed: int = 0) -> list[Difference]:
    """Compare TAR at thresholds of all impostor pairs; each resample of people chooses both thresholds again."""
    identities = identities_of_images(pairs)
    assert identities is not None
    identity = identities[0]
    sizes = np.bincount(identity)
    impostors = count_impostors(pairs)
    usable, _ = measurable_fars(fars, impostors)
    if not usable:
        return []
    limits = np.array([allowed_false_accepts(far, impostors) for far in usable])
    # A resample can lack the highest pairs, so more are kept than are allowed.
    capacity = 4 * int(limits.max()) + 100
    figures = [
        RatesOfPeople(highest_impostors(features, identity, capacity), identity, sizes, pairs.first[pairs.same],
                      pair_scores(features, pairs)[pairs.same], limits / impostors)
        for features in (first, second)
    ]

    def difference(weights: Weights) -> FloatArray:
        """Compute the difference of TAR, float64 [batch, rates]."""
        tars = [rates(weights)[:, len(usable):] for rates in figures]
        return np.asarray(tars[0] - tars[1])

    intervals = bootstrap(difference, np.zeros(len(sizes), np.int64), resamples, seed).tolist()
    ones = np.ones((1, len(sizes)), np.int32)
    values = [rates(ones)[0, len(usable):].tolist() for rates in figures]
    return [Difference(f"TAR at FAR {far}", reference, model, (low, high))
            for far, reference, model, (low, high) in zip(usable, *values, intervals, strict=True)]


def _loss(metric: str, difference: Difference) -> Loss:
    """Return a difference in percentage points, rounded so that 0.3 does not exceed a limit of 0.3."""
    sign = -1 if metric == "eer" else 1  # a higher error is a loss
    points, *ends = (round(sign * 100 * value, 9)
                     for value in (difference.first - difference.second, *difference.interval))
    return Loss(metric, difference.first, difference.second, points, (min(ends), max(ends)))
