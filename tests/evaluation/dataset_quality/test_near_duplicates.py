from __future__ import annotations

import numpy as np
import pytest

from facekd.data.feature_set import Features
from facekd.evaluation.dataset_quality import near_duplicates as module
from facekd.evaluation.dataset_quality.near_duplicates import find_near_duplicates
from tests.evaluation.toy import unit_rows


def random_rows(count: int, seed: int) -> Features:
    """Random directions in six dimensions, of which many are closer than 60 degrees."""
    return unit_rows(np.random.default_rng(seed).normal(size=(count, 6)))


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TILE_ROWS", 16)


def test_pairs_of_one_set_are_those_of_all_products() -> None:
    rows = random_rows(50, 0)
    cosines = np.triu(rows @ rows.T, 1)
    expected = {(int(a), int(b)) for a, b in np.argwhere(cosines >= 0.5)}
    duplicates = find_near_duplicates(rows, None, 60.0)
    assert len(expected) > 20 and duplicates.count == len(expected)
    assert set(zip(duplicates.first.tolist(), duplicates.second.tolist(), strict=True)) == expected
    np.testing.assert_allclose(duplicates.cosine, cosines[duplicates.first, duplicates.second], atol=1e-6)
    assert (np.diff(duplicates.cosine) <= 0).all()


def test_pairs_of_two_sets_are_those_of_all_products() -> None:
    first, second = random_rows(40, 0), random_rows(23, 1)
    expected = {(int(a), int(b)) for a, b in np.argwhere(first @ second.T >= 0.5)}
    duplicates = find_near_duplicates(first, second, 60.0)
    assert expected and set(zip(duplicates.first.tolist(), duplicates.second.tolist(), strict=True)) == expected


def test_rows_without_a_direction_are_close_to_no_row() -> None:
    assert find_near_duplicates(np.zeros((3, 4), np.float32), None, 60.0).count == 0


def test_more_pairs_than_are_listed_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PAIRS", 5)
    rows = random_rows(50, 0)
    all_cosines = np.sort((rows @ rows.T)[np.triu_indices(50, 1)])[::-1]
    duplicates = find_near_duplicates(rows, None, 60.0)
    assert len(duplicates.cosine) == 5 < duplicates.count
    np.testing.assert_allclose(duplicates.cosine, all_cosines[:5], atol=1e-6)
