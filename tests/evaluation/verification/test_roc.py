from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import auc, roc_auc_score, roc_curve  # type: ignore[import-untyped]

from facekd.evaluation.types import BoolArray, FloatArray, Int32Array, IntArray
from facekd.evaluation.verification.roc import RankedPairs


def pairs(count: int = 200, decimals: int = 1) -> tuple[FloatArray, BoolArray, IntArray]:
    """Pairs with many equal scores."""
    generator = np.random.default_rng(0)
    same = generator.random(count) < 0.5
    scores: FloatArray = (generator.normal(0.1, 0.2, count) + 0.3 * same).round(decimals)
    return scores, same, generator.integers(0, 4, count)


def ranked_and_repeated(weights: Int32Array) -> tuple[RankedPairs, RankedPairs]:
    """Ranked pairs, and the same with every pair as often as its weight."""
    ranked = RankedPairs(*pairs())
    return ranked, RankedPairs(np.repeat(ranked.scores, weights), np.repeat(ranked.same, weights),
                               np.repeat(ranked.fold, weights))


def test_pairs_are_sorted_and_cut_between_different_scores() -> None:
    ranked = RankedPairs(np.array([0.2, 0.9, 0.2, 0.5]), np.array([False, True, True, False]), np.array([1, 2, 3, 4]))
    assert ranked.scores.tolist() == [0.9, 0.5, 0.2, 0.2]
    assert ranked.same.tolist() == [True, False, False, True]
    assert ranked.fold.tolist() == [2, 4, 1, 3]
    assert ranked.cuts.tolist() == [0, 1, 2, 4]


def test_the_curve_is_that_of_sklearn() -> None:
    scores, same, fold = pairs()
    fpr, tpr, area, equal_error_rate = RankedPairs(scores, same, fold).curve()
    expected_fpr, expected_tpr, _ = roc_curve(same, scores, drop_intermediate=False)
    assert fpr == pytest.approx(expected_fpr, abs=1e-12) and tpr == pytest.approx(expected_tpr, abs=1e-12)
    assert area == pytest.approx(auc(expected_fpr, expected_tpr), abs=1e-12)
    assert np.interp(equal_error_rate, fpr, tpr) == pytest.approx(1 - equal_error_rate, abs=1e-9)


@pytest.mark.parametrize("limit", [0, 1, 5, 20])
def test_the_threshold_accepts_at_most_the_limit_and_no_lower_one_does(limit: int) -> None:
    scores, same, fold = pairs(decimals=9)
    ranked = RankedPairs(scores, same, fold)
    threshold = ranked.threshold(limit)
    accepted = int(((scores > threshold) & ~same).sum())
    assert accepted <= limit
    lower = np.max(scores[scores <= threshold])  # the next pair that a lower threshold accepts
    assert int(((scores >= lower) & ~same).sum()) > limit
    assert ranked.tar(np.ones((1, len(scores)), np.int32), [limit])[0, 0] == (scores[same] > threshold).mean()


@pytest.mark.parametrize("seed", range(5))
def test_weights_are_pairs_that_occur_several_times(seed: int) -> None:
    weights = np.random.default_rng(seed).integers(0, 4, 200).astype(np.int32)
    ranked, copies = ranked_and_repeated(weights)
    ones = np.ones((1, len(copies.scores)), np.int32)
    np.testing.assert_allclose(ranked.fold_accuracies(weights[None]), copies.fold_accuracies(ones))
    np.testing.assert_allclose(ranked.tar(weights[None], [0, 3, 12]), copies.tar(ones, [0, 3, 12]))


def test_the_best_threshold_has_the_highest_accuracy() -> None:
    scores, same, fold = pairs()
    threshold = RankedPairs(scores, same, fold).best_threshold()
    accuracies = [((scores > candidate) == same).mean() for candidate in [scores.min() - 1, *np.unique(scores)]]
    assert ((scores > threshold) == same).mean() == max(accuracies)


def test_the_area_counts_weighted_pairs() -> None:
    weights = np.random.default_rng(0).integers(0, 4, 200).astype(np.int32)
    ranked, copies = ranked_and_repeated(weights)
    assert ranked.auc(weights[None])[0] == pytest.approx(roc_auc_score(copies.same, copies.scores))
