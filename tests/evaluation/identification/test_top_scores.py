from __future__ import annotations

import numpy as np
import pytest

from facekd.evaluation.identification.top_scores import TopScores
from facekd.evaluation.types import FloatArray, IntArray

ERROR = 1e-5


def streamed(capacity: int, exact: FloatArray, seed: int = 0) -> TopScores:
    """The scores in several batches, each wrong by up to the error."""
    inexact = exact + np.random.default_rng(seed).uniform(-ERROR, ERROR, exact.shape)
    top_scores = TopScores(capacity, ERROR)
    for start in range(0, exact.shape[1], 7):
        batch = inexact[:, start : start + 7]
        row, column = np.indices(batch.shape, np.int32)
        top_scores.add(batch.ravel().astype(np.float32), row.ravel(), (column + start).ravel().astype(np.int32))
    top_scores.compact()
    return top_scores


@pytest.mark.parametrize("k", [1, 2, 40, 99])
def test_the_kth_highest_is_exact(k: int) -> None:
    exact = np.random.default_rng(1).choice(np.linspace(-1, 1, 500) * 1e-3, (20, 300))  # many within the error
    assert len(np.unique(exact)) > 400

    def scores(rows: IntArray, columns: IntArray) -> FloatArray:
        return exact[rows, columns]

    assert streamed(100, exact).kth_exact_score(k, scores) == np.sort(exact, axis=None)[-k]


def test_memory_follows_the_capacity() -> None:
    exact = np.random.default_rng(2).normal(size=(50, 2000))
    assert 100 <= len(streamed(100, exact).scores) < 110


def test_a_rank_beyond_what_was_kept_is_none() -> None:
    top_scores = streamed(100, np.random.default_rng(2).normal(size=(5, 10)))
    assert top_scores.kth_exact_score(51, lambda rows, columns: np.zeros(len(rows))) is None


def test_everything_above_the_floor_is_kept() -> None:
    exact = np.random.default_rng(3).normal(size=(30, 400))
    top_scores = streamed(200, exact)
    assert (top_scores.scores >= top_scores.floor).all()
    assert len(top_scores.scores) >= int((exact > top_scores.floor + ERROR).sum())


def test_lower_scores_than_the_floor_are_not_kept() -> None:
    top_scores = TopScores(10, floor=0.5)
    top_scores.add(np.array([0.4, 0.5, 0.6], np.float32), np.array([0, 1, 2], np.int32), np.array([3, 4, 5], np.int32))
    top_scores.compact()
    assert (top_scores.scores.tolist(), top_scores.rows.tolist(), top_scores.columns.tolist()) == (
        [0.5, np.float32(0.6)], [1, 2], [4, 5])
