"""Pairs of images, and Spearman's correlation against SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr  # type: ignore[import-untyped]

from facekd.evaluation.agreement.pairs import ImagePairs, RankCorrelation, choose_pairs, similarities
from tests.evaluation.toy import unit_rows


def test_few_images_give_all_pairs_once() -> None:
    pairs = choose_pairs(6, 100)
    assert pairs.complete
    assert {*zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)} == {
        (first, second) for second in range(6) for first in range(second)}


def test_many_images_give_a_sample_of_different_pairs_that_the_seed_decides() -> None:
    pairs, again, other = choose_pairs(200, 500), choose_pairs(200, 500), choose_pairs(200, 500, seed=1)
    drawn = {*zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)}
    assert (len(pairs), len(drawn), pairs.complete) == (500, 500, False)
    assert (pairs.first < pairs.second).all() and pairs.second.max() < 200
    assert (pairs.first == again.first).all() and not np.array_equal(pairs.second, other.second)


def test_a_sample_is_uniform() -> None:
    counts = np.zeros((12, 12))
    for seed in range(400):
        pairs = choose_pairs(12, 33, seed)
        counts[pairs.first, pairs.second] += 1
    chosen = counts[np.triu_indices(12, 1)] / 400
    assert chosen.mean() == pytest.approx(0.5) and np.abs(chosen - 0.5).max() < 0.11


def test_similarities_are_cosines() -> None:
    rows = unit_rows(np.random.default_rng(0).normal(size=(9, 5)))
    pairs = choose_pairs(9, 100)
    expected = (rows.astype(np.float64) @ rows.T.astype(np.float64))[pairs.first, pairs.second]
    np.testing.assert_allclose(similarities(rows, pairs), expected, atol=1e-12)


@pytest.mark.parametrize("decimals", [1, 9])
def test_the_correlation_is_scipys_with_and_without_ties(decimals: int) -> None:
    generator = np.random.default_rng(0)
    first = generator.normal(size=60).round(decimals)
    second = (first + generator.normal(size=60)).round(decimals)
    weights = generator.integers(0, 4, 60).astype(np.int32)
    correlation = RankCorrelation(first, second)
    assert correlation() == pytest.approx(spearmanr(first, second).statistic, abs=1e-12)
    repeated = spearmanr(np.repeat(first, weights), np.repeat(second, weights)).statistic
    assert correlation(weights) == pytest.approx(repeated, abs=1e-12)


def test_values_that_are_all_equal_correlate_with_nothing() -> None:
    assert RankCorrelation(np.ones(5), np.arange(5.0))() == 0


def test_the_shift_is_that_of_relative_ranks() -> None:
    shift = RankCorrelation(np.array([1.0, 2.0, 3.0, 4.0]), np.array([4.0, 2.0, 3.0, 1.0])).shift
    np.testing.assert_allclose(shift, [0.75, 0, 0, -0.75])


def test_pairs_have_a_length() -> None:
    assert len(ImagePairs(np.array([0]), np.array([1]), True)) == 1
