"""Is one model worse than another at verification? Both are asked about the same pairs, which are drawn alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from facekd.data.pairs.pair_set import PairSet, people_of
from facekd.errors import DataError
from facekd.evaluation.identification.comparison import Difference
from facekd.evaluation.statistics.bootstrap import BATCH, Statistic, Weights, bootstrap
from facekd.evaluation.statistics.far import allowed, measurable
from facekd.evaluation.verification.roc import Floats, Ints, RankedPairs

Mask = NDArray[np.bool_]


def verification_drop(
    first: Floats, second: Floats, same: Mask, fold: Ints, groups: Ints | None = None, fars: Sequence[str] = (),
    resamples: int = 1000, seed: int = 0,
) -> list[Difference]:
    """How much verification accuracy, and TAR at each measurable FAR, the second model loses against the first.

    Accuracy: each model decides the pairs of a fold by the threshold that is best for it on the others (see `verify`,
    whose accuracy this is); what is resampled is whether each pair was decided rightly. The thresholds stay, so the
    interval does not hold their own uncertainty: on simulated lists of 600 and 3,000 pairs it covered the true drop in
    88 and 91 of 100 cases, while choosing them anew covered it in 99 and 100 with intervals 1.3 to 1.5 times as wide.

    TAR: each model's threshold is chosen anew in every resample, since a few impostor pairs make it; it accepts as
    many of them as the rate allows of the list's.

    Args:
        first: float [pairs], the scores of the first model; higher means more alike.
        second: float [pairs], the second's, of the same pairs.
        same: bool [pairs], True for two images of one person.
        fold: int64 [pairs].
        groups: int64 [pairs], pairs of one number are drawn together (see `drawn_together`); None draws single pairs.
        fars: false accept rates as text; those that so few impostor pairs cannot measure are left out.
        resamples: bootstrap resamples.
        seed: of the draw.

    Returns:
        First ``accuracy``, then ``TAR at FAR ...``; each interval is of first - second.

    Raises:
        DataError: the lengths differ, a score is not finite, or one of the two kinds of pairs is absent.
    """
    if len({len(first), len(second), len(same), len(fold), len(same if groups is None else groups)}) > 1:
        raise DataError(
            f"{len(first)} and {len(second)} scores of {len(same)} pairs; models are compared on the same pairs"
        )
    if same.all() or not same.any() or not np.isfinite([first, second]).all():
        raise DataError(f"the {len(same)} pairs must be of both kinds and their scores finite; check list and models")
    share = _share(fold)
    right = [decided_rightly(scores, same, fold) for scores in (first, second)]
    lost = right[0].astype(np.float64) - right[1]
    usable, _ = measurable(fars, int((~same).sum()))
    limits = [allowed(far, int((~same).sum())) for far in usable]
    orders = [np.argsort(-scores, kind="stable") for scores in (first, second)]
    ranked = [RankedPairs(scores[order], same[order], fold[order])
              for scores, order in zip((first, second), orders, strict=True)]

    def tars(weights: Weights) -> list[Floats]:
        return [one.tar(weights[:, order], limits) for one, order in zip(ranked, orders, strict=True)]

    def figures(weights: Weights) -> Floats:
        accuracy = weights @ (share * lost) / (weights @ share)
        one, other = tars(weights)
        return np.column_stack([accuracy, one - other])

    group = np.arange(len(same)) if groups is None else np.unique(groups, return_inverse=True)[1]
    ends = bootstrap(_by_group(figures, group), _kinds(group, same), resamples, seed).tolist()
    values = [np.append(share @ hits, one[0])
              for hits, one in zip(right, tars(np.ones((1, len(same)), np.int32)), strict=True)]
    names = ["accuracy", *(f"TAR at FAR {far}" for far in usable)]
    return [Difference(name, float(one), float(other), (low, high))
            for name, one, other, (low, high) in zip(names, *values, ends, strict=True)]


def decided_rightly(scores: Floats, same: Mask, fold: Ints) -> Mask:
    """Whether each pair is decided rightly by the threshold that is most accurate on the other folds, bool [pairs].

    With one fold only, the threshold is chosen on the pairs it decides.
    """
    right = np.empty(len(same), np.bool_)
    for name in np.unique(fold):
        held = fold == name
        train = held if held.all() else ~held
        threshold = RankedPairs(scores[train], same[train], fold[train]).best_threshold()
        right[held] = (scores[held] > threshold) == same[held]
    return right


def drawn_together(pairs: PairSet) -> Ints | None:
    """The person of each pair's first image, int64 [pairs], or None where the list does not say who is in it.

    An impostor pair has two people; what it shares with others through its second image is not heeded.
    """
    people = people_of(pairs)
    return None if people is None else np.unique(people, return_inverse=True)[1].astype(np.int64)[pairs.first]


def _share(fold: Ints) -> Floats:
    """What each pair counts in the mean over folds."""
    _, place, sizes = np.unique(fold, return_inverse=True, return_counts=True)
    return np.asarray(1 / (len(sizes) * sizes[place]), np.float64)


def _kinds(group: Ints, same: Mask) -> Ints:
    """Strata of groups by the kinds of pairs they hold, so that every resample has both kinds."""
    genuine, impostor = np.bincount(group, same) > 0, np.bincount(group, ~same) > 0
    return genuine + 2 * impostor.astype(np.int64)


def _by_group(figures: Statistic, group: Ints) -> Statistic:
    """Figures of weighted groups from figures of weighted pairs, so many rows at a time as memory allows."""
    rows = max(1, BATCH // len(group))
    return lambda weights: np.concatenate(
        [figures(weights[start : start + rows][:, group]) for start in range(0, len(weights), rows)]
    )
