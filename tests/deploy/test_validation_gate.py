from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics.pairwise import cosine_similarity

from facekd.deploy.validation_gate import AccuracyGate, summarize_cosines
from facekd.errors import ExportError
from facekd.evaluation.statistics.difference import Difference

FILE = Path("tiny.int8.onnx")


def drop(points: float, low: float, high: float) -> Difference:
    return Difference("accuracy", 0.99, 0.99 - points / 100, (low / 100, high / 100))


def test_a_small_drop_passes() -> None:
    assert AccuracyGate(0.3).check(FILE, drop(0.2, -0.1, 0.5)) is None


@pytest.mark.parametrize("limit", [0.3, 0.7, 1.1])
def test_the_limit_itself_passes(limit: float) -> None:
    assert AccuracyGate(limit).check(FILE, drop(limit, limit, limit)) is None


def test_a_drop_that_may_be_chance_is_warned_of() -> None:
    assert AccuracyGate(0.3).check(FILE, drop(0.5, 0.2, 0.8)) == (
        "tiny.int8.onnx loses 0.50 points of verification accuracy [0.20, 0.80] against the float network, "
        "more than max-drop 0.3 but not clearly so; measure it on more pairs"
    )


def test_a_clear_drop_is_refused() -> None:
    with pytest.raises(ExportError, match=r"it loses 1\.20 points .* \[0\.85, 1\.55\] .*, more than max-drop 0\.3; "):
        AccuracyGate(0.3).check(FILE, drop(1.2, 0.85, 1.55))


@pytest.mark.parametrize("limit", [-0.1, math.nan, math.inf])
def test_a_limit_that_is_negative_or_not_finite_is_refused(limit: float) -> None:
    with pytest.raises(ExportError, match="give percentage points"):
        AccuracyGate(limit)


def test_cosines_against_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    first = rng.normal(size=(9, 4)).astype(np.float32)
    second = rng.normal(size=(9, 4)).astype(np.float32)
    expected = np.diag(cosine_similarity(first.astype(np.float64), second.astype(np.float64)))
    summary = summarize_cosines(first, second)
    assert [summary.mean, summary.minimum] == pytest.approx([expected.mean(), expected.min()])
    assert summary.images == 9


def test_cosines_show_nan() -> None:
    summary = summarize_cosines(np.array([[1.0, 2.0], [np.nan, 1.0]]), np.ones((2, 2)))
    assert np.isnan([summary.mean, summary.minimum]).all()
