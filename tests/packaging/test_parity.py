from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics.pairwise import cosine_similarity

from facekd.packaging.parity import Parity, cosines, difference


def test_difference_is_of_directions_not_of_lengths() -> None:
    ours, theirs = np.array([[3.0, 4.0]]), np.array([[30.0, 40.0]])
    assert difference(ours, theirs) == pytest.approx(0, abs=1e-15)
    assert difference(ours, np.array([[4.0, 3.0]])) == pytest.approx(0.2)


def test_worst_shows_nan() -> None:
    assert math.isnan(Parity({1: 0.0, 2: math.nan}, 1e-9).worst)


def test_worst_counts_the_crops() -> None:
    assert Parity({1: 1e-9, 2: 1e-8}, 0.5).worst == 0.5


def test_cosines_against_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    ours, theirs = rng.normal(size=(9, 4)).astype(np.float32), rng.normal(size=(9, 4)).astype(np.float32)
    expected = np.diag(cosine_similarity(ours.astype(np.float64), theirs.astype(np.float64)))
    found = cosines(ours, theirs)
    assert (found.mean, found.minimum) == (pytest.approx(expected.mean()), pytest.approx(expected.min()))
    assert found.images == 9
