from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from facekd.data.feature_set import ArrayFeatures, Features
from facekd.errors import DataError
from facekd.evaluation.identification.mates import Mates, exact_scores, rounding


def unit(rows: int, dimension: int, seed: int = 0) -> Features:
    return ArrayFeatures(np.random.default_rng(seed).normal(size=(rows, dimension))).all()


def test_scores_are_float64_dot_products() -> None:
    first, second = unit(30, 512), unit(40, 512, 1)
    rows, columns = np.array([3, 29, 0]), np.array([39, 2, 2])
    true = [sum(Fraction(float(a)) * Fraction(float(b)) for a, b in zip(first[i], second[j], strict=True))
            for i, j in zip(rows, columns, strict=True)]
    assert exact_scores(first, rows, second, columns) == pytest.approx([float(t) for t in true], abs=1e-15)


@pytest.mark.parametrize("dimension", [1, 3, 7, 128, 513])
def test_equal_rows_score_equally_wherever_they_stand(dimension: int) -> None:
    probe, gallery = unit(1, dimension), np.repeat(unit(1, dimension, 2), 5000, axis=0)
    scores = exact_scores(probe, np.zeros(5000, np.int64), gallery, np.arange(5000))
    assert len(np.unique(scores)) == 1


@pytest.mark.parametrize("dimension", [16, 512])
def test_a_float32_product_is_within_the_rounding(dimension: int) -> None:
    first, second = unit(200, dimension), unit(300, dimension, 1)
    true = first.astype(np.float64) @ second.T.astype(np.float64)
    assert np.abs(first @ second.T - true).max() < rounding(dimension)


def test_all_ordered_pairs_by_probe_and_rising_score() -> None:
    probes, labels = unit(7, 8), np.array([5, 2, 5, 9, 2, 5, 2])
    mates = Mates(probes, labels)
    expected = {(a, b) for a in range(7) for b in range(7) if a != b and labels[a] == labels[b]}
    assert set(zip(mates.probe.tolist(), mates.mate.tolist(), strict=True)) == expected
    assert len(mates.probe) == len(expected)
    assert np.array_equal(np.lexsort((mates.score, mates.probe)), np.arange(len(expected)))
    assert mates.score == pytest.approx((probes @ probes.T)[mates.probe, mates.mate], abs=1e-6)
    assert mates.names.tolist() == [2, 5, 9]
    assert mates.sizes.tolist() == [3, 3, 1]
    assert mates.genuine.sum() == 6


def test_people_with_one_probe_each_are_refused() -> None:
    with pytest.raises(DataError, match="each of the 3 people has one probe"):
        Mates(unit(3, 4), np.arange(3))
