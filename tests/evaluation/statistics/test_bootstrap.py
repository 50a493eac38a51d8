from __future__ import annotations

import numpy as np
import pytest

from facekd.evaluation.statistics import bootstrap as module
from facekd.evaluation.statistics.bootstrap import Weights, bootstrap, by_group
from facekd.evaluation.types import FloatArray

VALUES = np.random.default_rng(1).normal(size=400)
ONE_STRATUM = np.zeros(400, np.int64)


def mean(weights: Weights) -> FloatArray:
    means: FloatArray = (weights @ VALUES / weights.sum(axis=1))[:, None]
    return means


def test_interval_of_a_mean_is_the_normal_one() -> None:
    low, high = bootstrap(mean, ONE_STRATUM, resamples=4000)[0]
    half = 1.96 * VALUES.std() / np.sqrt(len(VALUES))
    assert low == pytest.approx(VALUES.mean() - half, abs=0.15 * half)
    assert high == pytest.approx(VALUES.mean() + half, abs=0.15 * half)


def test_same_seed_same_interval() -> None:
    assert np.array_equal(bootstrap(mean, ONE_STRATUM, 50, seed=3), bootstrap(mean, ONE_STRATUM, 50, seed=3))


def test_another_seed_another_interval() -> None:
    assert not np.array_equal(bootstrap(mean, ONE_STRATUM, 50, seed=3), bootstrap(mean, ONE_STRATUM, 50, seed=4))


def test_batches_do_not_change_the_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    in_one_batch = bootstrap(mean, ONE_STRATUM, 50)
    monkeypatch.setattr(module, "MAX_WEIGHTS", 7 * 400)
    assert bootstrap(mean, ONE_STRATUM, 50) == pytest.approx(in_one_batch, abs=1e-12)


def test_strata_keep_their_size() -> None:
    strata = np.array([5, 0, 5, 5, 0, 9])
    batches: list[Weights] = []

    def record(weights: Weights) -> FloatArray:
        batches.append(weights)
        return np.zeros((len(weights), 1))

    bootstrap(record, strata, 100)
    weights = np.concatenate(batches)
    sizes = np.stack([weights[:, strata == name].sum(axis=1) for name in (0, 5, 9)], axis=1)
    assert (sizes == [2, 3, 1]).all()
    assert weights[:, 0].std() > 0


def test_an_item_counts_as_often_as_its_group() -> None:
    group = np.array([1, 0, 1, 2])
    rates = by_group(lambda weights: weights.astype(float), group)
    weights = np.array([[5, 6, 7], [0, 1, 2]], np.int32)
    assert rates(weights).tolist() == [[6, 5, 6, 7], [1, 0, 1, 2]]
