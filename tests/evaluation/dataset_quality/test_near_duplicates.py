from __future__ import annotations

import numpy as np
import pytest

from facekd.data.feature_set import Features
from facekd.evaluation.dataset_quality import near_duplicates as room
from facekd.evaluation.dataset_quality.near_duplicates import near


def unit(rows: int, seed: int) -> Features:
    drawn = np.random.default_rng(seed).normal(size=(rows, 6)).astype(np.float32)
    return np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True), np.float32)


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "TILE", 16)


def test_pairs_of_one_set_are_those_of_all_products() -> None:
    rows = unit(50, 0)
    cosines = np.triu(rows @ rows.T, 1)
    expected = {(int(a), int(b)) for a, b in np.argwhere(cosines >= 0.5)}
    found = near(rows, None, 60.0)
    assert len(expected) > 20 and found.count == len(expected)
    assert set(zip(found.first.tolist(), found.second.tolist(), strict=True)) == expected
    np.testing.assert_allclose(found.cosine, cosines[found.first, found.second], atol=1e-6)
    assert (np.diff(found.cosine) <= 0).all()


def test_pairs_of_two_sets_are_those_of_all_products() -> None:
    one, other = unit(40, 0), unit(23, 1)
    expected = {(int(a), int(b)) for a, b in np.argwhere(one @ other.T >= 0.5)}
    found = near(one, other, 60.0)
    assert expected and set(zip(found.first.tolist(), found.second.tolist(), strict=True)) == expected


def test_rows_without_a_direction_are_near_nothing() -> None:
    assert near(np.zeros((3, 4), np.float32), None, 60.0).count == 0


def test_more_pairs_than_are_listed_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MOST", 5)
    rows = unit(50, 0)
    every = np.sort((rows @ rows.T)[np.triu_indices(50, 1)])[::-1]
    found = near(rows, None, 60.0)
    assert len(found.cosine) == 5 < found.count
    np.testing.assert_allclose(found.cosine, every[:5], atol=1e-6)
