from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics.pairwise import cosine_similarity

from facekd.deploy.validation_gate import cosines, normalise


def test_cosines_against_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    ours, theirs = rng.normal(size=(9, 4)).astype(np.float32), rng.normal(size=(9, 4)).astype(np.float32)
    expected = np.diag(cosine_similarity(ours.astype(np.float64), theirs.astype(np.float64)))
    found = cosines(ours, theirs)
    assert [found.mean, found.minimum] == pytest.approx([expected.mean(), expected.min()])
    assert found.images == 9


def test_cosines_show_what_is_no_number() -> None:
    found = cosines(np.array([[1.0, 2.0], [np.nan, 1.0]]), np.ones((2, 2)))
    assert np.isnan([found.mean, found.minimum]).all()


def test_rows_get_unit_length_and_rows_of_zeros_stay() -> None:
    np.testing.assert_allclose(normalise(np.array([[30.0, 40.0], [0.0, 0.0]])), [[0.6, 0.8], [0.0, 0.0]], atol=1e-15)
