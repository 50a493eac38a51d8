from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from facekd.data.feature_set import ArrayFeatures, Features
from facekd.errors import DataError
from facekd.evaluation.identification.mates import Mates, exact_scores, float32_error_bound, float32_scores


def random_rows(count: int, dimension: int, seed: int = 0) -> Features:
    return ArrayFeatures(np.random.default_rng(seed).normal(size=(count, dimension))).all_l2_normalized_rows()


def test_scores_are_float64_dot_products() -> None:
    first, second = random_rows(30, 512), random_rows(40, 512, 1)
    rows, columns = np.array([3, 29, 0]), np.array([39, 2, 2])
    true = [sum(Fraction(float(a)) * Fraction(float(b)) for a, b in zip(first[i], second[j], strict=True))
            for i, j in zip(rows, columns, strict=True)]
    assert exact_scores(first, rows, second, columns) == pytest.approx([float(t) for t in true], abs=1e-15)


@pytest.mark.parametrize("dimension", [1, 3, 7, 128, 513])
def test_equal_rows_have_equal_scores_at_every_position(dimension: int) -> None:
    probe, gallery = random_rows(1, dimension), np.repeat(random_rows(1, dimension, 2), 5000, axis=0)
    scores = exact_scores(probe, np.zeros(5000, np.int64), gallery, np.arange(5000))
    assert len(np.unique(scores)) == 1


@pytest.mark.parametrize("dimension", [16, 512])
def test_a_float32_product_is_within_the_error_bound(dimension: int) -> None:
    first, second = random_rows(200, dimension), random_rows(300, dimension, 1)
    true = first.astype(np.float64) @ second.T.astype(np.float64)
    assert np.abs(first @ second.T - true).max() < float32_error_bound(dimension)


@pytest.mark.parametrize("dimension", [16, 512])
def test_float32_scores_are_within_the_error_bound(dimension: int) -> None:
    first, second = random_rows(200, dimension), random_rows(3000, dimension, 1)
    rows, columns = np.random.default_rng(2).integers(0, 200, 5000), np.random.default_rng(3).integers(0, 3000, 5000)
    scores = float32_scores(first, rows, second, columns)
    assert scores.dtype == np.float32
    assert np.abs(scores - exact_scores(first, rows, second, columns)).max() < float32_error_bound(dimension)


def test_all_ordered_pairs_by_probe_and_rising_score() -> None:
    probes, labels = random_rows(7, 8), np.array([5, 2, 5, 9, 2, 5, 2])
    mates = Mates(probes, labels)
    expected = {(a, b) for a in range(7) for b in range(7) if a != b and labels[a] == labels[b]}
    assert set(zip(mates.probe.tolist(), mates.mate.tolist(), strict=True)) == expected
    assert len(mates.probe) == len(expected)
    assert np.array_equal(np.lexsort((mates.score, mates.probe)), np.arange(len(expected)))
    assert mates.score == pytest.approx((probes @ probes.T)[mates.probe, mates.mate], abs=1e-6)
    assert mates.labels.tolist() == [2, 5, 9]
    assert mates.sizes.tolist() == [3, 3, 1]
    assert mates.genuine.sum() == 6


def test_people_with_one_probe_each_are_refused() -> None:
    with pytest.raises(DataError, match="each of the 3 people has one probe"):
        Mates(random_rows(3, 4), np.arange(3))


def test_mates_of_another_model_are_compared_with_the_probes() -> None:
    probes, enrolled = random_rows(4, 8), random_rows(4, 8, 1)
    mates = Mates(probes, np.array([0, 0, 1, 1]), enrolled)
    scores = {(a, b): s for a, b, s in zip(mates.probe.tolist(), mates.mate.tolist(), mates.score, strict=True)}
    assert scores == pytest.approx({(a, b): float(probes[a].astype(float) @ enrolled[b].astype(float))
                                    for a, b in ((0, 1), (1, 0), (2, 3), (3, 2))})
    assert mates.genuine.sum() == 2
