from __future__ import annotations

import numpy as np
import pytest
from sklearn.cluster import AgglomerativeClustering
from sklearn.metrics import adjusted_rand_score

from facekd.data.feature_set import Features
from facekd.evaluation.dataset_quality import average_linkage as module
from facekd.evaluation.dataset_quality.average_linkage import average_linkage


def unit(rows: np.ndarray) -> Features:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def people(count: int, images: int, noise: float, seed: int = 0) -> Features:
    rng = np.random.default_rng(seed)
    centers = np.repeat(rng.normal(size=(count, 16)), rng.integers(1, images + 1, count), axis=0)
    return unit(rng.permutation(centers + noise * rng.normal(size=centers.shape)))


@pytest.mark.parametrize("min_cosine", [0.1, 0.4, 0.7, 0.95])
@pytest.mark.parametrize("noise", [0.4, 1.0, 3.0])
def test_the_groups_are_those_of_scikit_learn(min_cosine: float, noise: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TILE_ROWS", 37)
    rows = people(40, 12, noise)
    reference = AgglomerativeClustering(None, metric="cosine", linkage="average", distance_threshold=1 - min_cosine)
    assert adjusted_rand_score(reference.fit_predict(rows.astype(np.float64)), average_linkage(rows, min_cosine)) == 1


def test_a_group_has_the_number_of_its_first_row() -> None:
    rows = unit(np.array([[1, 0], [0, 1], [1, 0.1], [0.1, 1], [-1, 0]]))
    assert average_linkage(rows, 0.5).tolist() == [0, 1, 0, 1, 4]


def test_equal_rows_are_one_group() -> None:
    assert average_linkage(unit(np.ones((300, 7))), 0.9).tolist() == [0] * 300


def test_rows_are_left_as_they_are() -> None:
    rows = people(5, 5, 0.3)
    before = rows.copy()
    average_linkage(rows, 0.5)
    np.testing.assert_array_equal(rows, before)


def test_mean_cosines_count_and_not_the_nearest_pair() -> None:
    angles = np.radians([0, 30, 60, 90, 120])  # a chain in which each is near the next
    rows = unit(np.stack([np.cos(angles), np.sin(angles)], axis=1))
    assert len(np.unique(average_linkage(rows, 0.8))) > 1
