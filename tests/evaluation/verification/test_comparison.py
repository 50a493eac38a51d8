from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score  # type: ignore[import-untyped]

from facekd.data.pairs.pair_set import PairSet, build_pair_set
from facekd.errors import DataError
from facekd.evaluation.types import BoolArray, FloatArray, IntArray
from facekd.evaluation.verification.comparison import compare_verification, correct_decisions, resampling_groups
from facekd.evaluation.verification.verify import verify


def scores(count: int = 400, decimals: int = 9) -> tuple[FloatArray, FloatArray, BoolArray, IntArray]:
    """Two models of the same pairs in five folds of different sizes, the second with more noise."""
    rng = np.random.default_rng(1)
    same = rng.random(count) < 0.5
    first: FloatArray = rng.normal(size=count) + 2.5 * same
    second: FloatArray = first + rng.normal(0, 0.8, count)
    return first.round(decimals), second.round(decimals), same, rng.integers(0, 5, count)


def brute_decisions(values: FloatArray, same: BoolArray, fold: IntArray) -> BoolArray:
    """Try every midpoint of the training folds' scores, the highest first, and keep the first of the best."""
    correct = np.empty(len(same), bool)
    for name in np.unique(fold):
        held_out = fold == name
        levels = np.unique(values[~held_out])[::-1]
        candidates = [levels[0], *((levels[1:] + levels[:-1]) / 2), levels[-1] - 1]
        hits = [int(((values[~held_out] > limit) == same[~held_out]).sum()) for limit in candidates]
        correct[held_out] = (values[held_out] > candidates[int(np.argmax(hits))]) == same[held_out]
    return correct


def brute_tar(values: FloatArray, same: BoolArray, limit: int) -> float:
    """The largest share of genuine pairs above any score that at most so many impostor pairs are above."""
    levels = np.append(values, -np.inf)
    allowed = levels[(values[~same] > levels[:, None]).sum(axis=1) <= limit]
    return float((values[same] > allowed.min()).mean())


@pytest.mark.parametrize("decimals", [9, 1])
def test_each_pair_is_decided_by_the_best_threshold_of_the_other_folds(decimals: int) -> None:
    first, _, same, fold = scores(decimals=decimals)
    assert np.array_equal(correct_decisions(first, same, fold), brute_decisions(first, same, fold))


def test_one_fold_decides_itself() -> None:
    scores_of_pairs = np.array([0.9, 0.8, 0.1, 0.2])
    correct = correct_decisions(scores_of_pairs, np.array([True, True, False, False]), np.ones(4, np.int64))
    assert correct.all()


def test_the_figures_are_those_of_verify() -> None:
    first, second, same, fold = scores()
    drops = compare_verification(first, second, same, fold, fars=("1e-1", "1e-2", "1e-4"), resamples=2)
    one, other = verify(first, same, fold, resamples=2), verify(second, same, fold, resamples=2)
    assert [drop.metric for drop in drops] == ["accuracy", "TAR at FAR 1e-1", "TAR at FAR 1e-2"]
    assert [drops[0].first, drops[0].second] == pytest.approx([one.accuracy, other.accuracy])
    assert (drops[1].first, drops[1].second) == (one.tar["1e-1"], other.tar["1e-1"])
    assert (drops[2].first, drops[2].second) == (one.tar["1e-2"], other.tar["1e-2"])


def test_the_interval_of_accuracy_is_that_of_a_plain_paired_bootstrap() -> None:
    first, second, same, _ = scores(1000)
    fold = np.arange(1000) % 5  # folds of one size, so that the mean over folds is the mean over pairs
    lost = brute_decisions(first, same, fold).astype(float) - brute_decisions(second, same, fold)
    rng, plain = np.random.default_rng(7), []
    kinds = [np.flatnonzero(same), np.flatnonzero(~same)]
    for _ in range(3000):
        drawn = np.concatenate([rng.choice(kind, len(kind)) for kind in kinds])
        plain.append(lost[drawn].mean())
    drop = compare_verification(first, second, same, fold, resamples=3000)[0]
    assert drop.first - drop.second == pytest.approx(lost.mean())
    assert drop.interval == pytest.approx(np.quantile(plain, [0.025, 0.975]), abs=0.004)


def test_the_interval_over_people_is_that_of_drawing_people() -> None:
    first, second, same, _ = scores()
    fold = np.arange(400) % 5  # as above
    groups = np.random.default_rng(3).integers(0, 30, 400)
    lost = brute_decisions(first, same, fold).astype(float) - brute_decisions(second, same, fold)
    rng, accuracy, tar = np.random.default_rng(9), [], []
    limit = int((~same).sum()) // 10
    for number in range(1500):
        drawn = np.concatenate([np.flatnonzero(groups == person) for person in rng.integers(0, 30, 30)])
        accuracy.append(lost[drawn].mean())
        if number < 200:
            tar.append(brute_tar(first[drawn], same[drawn], limit) - brute_tar(second[drawn], same[drawn], limit))
    drops = compare_verification(first, second, same, fold, groups, fars=("1e-1",), resamples=1500)
    assert drops[0].interval == pytest.approx(np.quantile(accuracy, [0.025, 0.975]), abs=0.006)
    assert drops[1].interval == pytest.approx(np.quantile(tar, [0.025, 0.975]), abs=0.03)


def test_people_whose_pairs_fail_together_widen_the_interval() -> None:
    first, _, same, fold = scores()
    groups = np.arange(400) // 20
    spoiled = first * np.where(groups < 2, -1.0, 1.0)
    alone, together = (compare_verification(first, spoiled, same, fold, drawn)[0].interval for drawn in (None, groups))
    assert together[1] - together[0] > 2 * (alone[1] - alone[0])


def test_a_model_loses_nothing_against_itself() -> None:
    first, _, same, fold = scores()
    drops = compare_verification(first, first, same, fold, fars=("1e-1",), resamples=50)
    assert [drop.interval for drop in drops] == [(0.0, 0.0), (0.0, 0.0)]


def test_a_resample_always_holds_both_kinds() -> None:
    """Two people, one of whom has genuine pairs only and the other impostor pairs only."""
    same, groups = np.array([True, True, False, False] * 3), np.array([0, 0, 1, 1] * 3)
    values = -np.tile(np.arange(4, dtype=np.float64), 3)
    drops = compare_verification(values, values, same, np.repeat([1, 2, 3], 4), groups, fars=("5e-1",), resamples=50)
    assert np.isfinite([drop.interval for drop in drops]).all()


def test_other_pairs_are_refused() -> None:
    first, second, same, fold = scores()
    with pytest.raises(DataError, match="400 and 399 scores of 400 pairs"):
        compare_verification(first, second[1:], same, fold)
    with pytest.raises(DataError, match="scores finite"):
        compare_verification(first, np.full(400, np.nan), same, fold)
    with pytest.raises(DataError, match="both kinds"):
        compare_verification(first, second, np.ones(400, bool), fold)


def test_pairs_are_drawn_with_the_person_of_their_first_image() -> None:
    a, b, c = Path("/faces/ann/1.png"), Path("/faces/ann/2.png"), Path("/faces/bo/1.png")
    groups = resampling_groups(build_pair_set(Path("list.csv"), [a, c, a], [b, a, c], [True, False, False], [1, 1, 1]))
    assert groups is not None
    assert groups.tolist() == [0, 1, 0]


def test_a_list_without_names_draws_pairs() -> None:
    pairs: PairSet = build_pair_set(Path("list.bin"), [b"1", b"3"], [b"2", b"4"], [True, False], [1, 1])
    assert resampling_groups(pairs) is None


def test_the_area_under_the_curve_is_compared_on_request() -> None:
    first, second, same, fold = scores()
    drop = compare_verification(first, second, same, fold, auc=True, resamples=50)[-1]
    assert drop.metric == "AUC"
    assert [drop.first, drop.second] == pytest.approx([roc_auc_score(same, values) for values in (first, second)])
    assert drop.interval[0] < drop.first - drop.second < drop.interval[1]
