"""Is one model worse than another at verification? A paired bootstrap over the same pairs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from facekd.data.pairs.pair_set import PairSet, identities_from_folders
from facekd.errors import DataError
from facekd.evaluation.statistics.bootstrap import Weights, bootstrap, by_group
from facekd.evaluation.statistics.difference import Difference
from facekd.evaluation.statistics.far import allowed_false_accepts, measurable_fars
from facekd.evaluation.types import BoolArray, FloatArray, IntArray
from facekd.evaluation.verification.roc import RankedPairs


def compare_verification(
    first: FloatArray, second: FloatArray, same: BoolArray, fold: IntArray, groups: IntArray | None = None, *,
    fars: Sequence[str] = (), auc: bool = False, eer: bool = False, resamples: int = 1000,
    seed: int = 0,
) -> list[Difference]:
    """Compute how much accuracy, and TAR at each measurable FAR, the second model loses against the first.

    Accuracy: each model decides the pairs of a fold by its best threshold on the other folds (see `verify`, whose
    accuracy this is). Resampled is whether each pair was decided correctly. The thresholds stay fixed, so the interval
    does not include their own uncertainty: on simulated lists of 600 and 3,000 pairs it covered the true drop in 88
    and 91 of 100 cases; new thresholds in every resample covered it in 99 and 100 cases, with intervals 1.3 to 1.5
    times as wide.

    TAR: the threshold of each model is chosen again in every resample, because a few impostor pairs determine it. It
    accepts as many impostor pairs as the FAR allows of the impostor pairs of the list.

    Args:
        first: float [pairs], scores of the first model; higher means more similar.
        second: float [pairs], scores of the second model for the same pairs.
        same: bool [pairs], True for two images of one person.
        fold: int64 [pairs].
        groups: int64 [pairs]; pairs with the same number are drawn together (see `resampling_groups`). None draws
            single pairs.
        fars: false accept rates as text; rates that the impostor pairs of the list cannot measure are left out.
        auc: whether to compare the area under the ROC curve as well.
        eer: whether to compare the equal error rate as well.
        resamples: number of bootstrap resamples.
        seed: seed of the draw.

    Returns:
        ``accuracy``, then ``TAR at FAR ...``, then ``AUC`` and ``EER`` if asked for; each interval is of first -
        second.

    Raises:
        DataError: the lengths differ, a score is not finite, or there are no genuine or no impostor pairs.
    """
    _check(first, second, same, fold, groups)
    models = (first, second)
    pair_share = _shares_in_fold_mean(fold)
    correct = [correct_decisions(scores, same, fold) for scores in models]
    lost = correct[0].astype(np.float64) - correct[1]
    impostors = int((~same).sum())
    usable, _ = measurable_fars(fars, impostors)
    limits = [allowed_false_accepts(far, impostors) for far in usable]
    orders = [np.argsort(-scores, kind="stable") for scores in models]
    ranked = [RankedPairs(scores[order], same[order], fold[order])
              for scores, order in zip(models, orders, strict=True)]

    def rates(weights: Weights) -> list[FloatArray]:
        """Compute the TARs, and AUC and EER if asked for, of both models."""
        return [np.column_stack([pairs.tar(weights[:, order], limits),
                                 *([pairs.auc(weights[:, order])] if auc else []),
                                 *([pairs.eer(weights[:, order])] if eer else [])])
                for pairs, order in zip(ranked, orders, strict=True)]

    def figures(weights: Weights) -> FloatArray:
        """Compute the differences of accuracy and the other rates."""
        accuracy = weights @ (pair_share * lost) / (weights @ pair_share)
        first_rates, second_rates = rates(weights)
        return np.column_stack([accuracy, first_rates - second_rates])

    group = np.arange(len(same)) if groups is None else np.unique(groups, return_inverse=True)[1]
    intervals = bootstrap(by_group(figures, group), _strata(group, same), resamples, seed).tolist()
    ones = np.ones((1, len(same)), np.int32)
    values = [np.append(pair_share @ hits, row[0]) for hits, row in zip(correct, rates(ones), strict=True)]
    names = ["accuracy", *(f"TAR at FAR {far}" for far in usable), *(["AUC"] if auc else []),
             *(["EER"] if eer else [])]
    return [Difference(name, float(first_value), float(second_value), (low, high))
            for name, first_value, second_value, (low, high) in zip(names, *values, intervals, strict=True)]


def correct_decisions(scores: FloatArray, same: BoolArray, fold: IntArray) -> BoolArray:
    """Return whether each pair is decided correctly by the most accurate threshold of the other folds, bool [pairs].

    With a single fold the threshold is chosen on the pairs that it decides.
    """
    correct = np.empty(len(same), np.bool_)
    for name in np.unique(fold):
        held_out = fold == name
        training = held_out if held_out.all() else ~held_out
        threshold = RankedPairs(scores[training], same[training], fold[training]).best_threshold()
        correct[held_out] = (scores[held_out] > threshold) == same[held_out]
    return correct


def resampling_groups(pairs: PairSet) -> IntArray | None:
    """Return the person of each pair's first image, int64 [pairs], or None if the list does not name people.

    An impostor pair has two people; its dependence on other pairs through the second image is ignored.
    """
    people = identities_from_folders(pairs)
    return None if people is None else np.unique(people, return_inverse=True)[1].astype(np.int64)[pairs.first]


def _check(first: FloatArray, second: FloatArray, same: BoolArray, fold: IntArray, groups: IntArray | None) -> None:
    lengths = {len(first), len(second), len(same), len(fold)}
    if groups is not None:
        lengths.add(len(groups))
    if len(lengths) > 1:
        raise DataError(
            f"{len(first)} and {len(second)} scores of {len(same)} pairs; models are compared on the same pairs"
        )
    if same.all() or not same.any() or not np.isfinite([first, second]).all():
        raise DataError(f"the {len(same)} pairs must be of both kinds and their scores finite; check list and models")


def _shares_in_fold_mean(fold: IntArray) -> FloatArray:
    """Return the share of each pair in the mean over folds, float64 [pairs]."""
    _, fold_index, sizes = np.unique(fold, return_inverse=True, return_counts=True)
    return np.asarray(1 / (len(sizes) * sizes[fold_index]), np.float64)


def _strata(group: IntArray, same: BoolArray) -> IntArray:
    """Return strata of groups by the kinds of pairs in them, so that every resample has both kinds."""
    has_genuine = np.bincount(group, same) > 0
    has_impostor = np.bincount(group, ~same) > 0
    return has_genuine + 2 * has_impostor.astype(np.int64)
