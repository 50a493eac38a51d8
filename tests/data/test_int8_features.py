from __future__ import annotations

import numpy as np
import pytest

from facekd.data.featureset import ArrayFeatures
from facekd.data.int8_features import Int8Features


def features() -> ArrayFeatures:
    rows = np.random.default_rng(0).normal(size=(50, 512)) * np.geomspace(1e-3, 1e3, 50)[:, None]
    return ArrayFeatures(rows, labels=np.arange(50))


def test_rows_are_whole_numbers_up_to_127() -> None:
    rows = Int8Features(features()).block(0, 50)
    assert np.array_equal(rows, np.rint(rows))
    assert (np.abs(rows).max(axis=1) == 127).all()


def test_cosines_are_those_of_int8_arithmetic() -> None:
    rounded = Int8Features(features())
    unit, whole = rounded.all(), rounded.block(0, 50).astype(np.int64)
    lengths = np.sqrt((whole**2).sum(axis=1))
    assert unit @ unit.T == pytest.approx((whole @ whole.T) / np.outer(lengths, lengths), abs=1e-5)


def test_rounding_costs_little_of_a_cosine() -> None:
    exact, rounded = features().all(), Int8Features(features()).all()
    assert np.abs(exact @ exact.T - rounded @ rounded.T).max() < 0.005


def test_labels_come_along() -> None:
    assert Int8Features(features()).labels is not None
