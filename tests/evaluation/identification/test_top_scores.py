from __future__ import annotations

import numpy as np
import pytest

from facekd.evaluation.identification.mates import Floats, Ints
from facekd.evaluation.identification.top_scores import Impostors

ERROR = 1e-5


def streamed(capacity: int, exact: Floats, seed: int = 0) -> Impostors:
    """The scores in parts, each wrong by up to the error."""
    wrong = exact + np.random.default_rng(seed).uniform(-ERROR, ERROR, exact.shape)
    impostors = Impostors(capacity, ERROR)
    for start in range(0, exact.shape[1], 7):
        part = wrong[:, start : start + 7]
        probe, column = np.indices(part.shape, np.int32)
        impostors.add(part.ravel().astype(np.float32), probe.ravel(), (column + start).ravel().astype(np.int32))
    impostors.settle()
    return impostors


@pytest.mark.parametrize("k", [1, 2, 40, 99])
def test_the_kth_highest_is_exact(k: int) -> None:
    exact = np.random.default_rng(1).choice(np.linspace(-1, 1, 500) * 1e-3, (20, 300))  # many within the error
    assert len(np.unique(exact)) > 400

    def scores(rows: Ints, columns: Ints) -> Floats:
        return exact[rows, columns]

    assert streamed(100, exact).exact(k, scores) == np.sort(exact, axis=None)[-k]


def test_memory_follows_the_capacity() -> None:
    exact = np.random.default_rng(2).normal(size=(50, 2000))
    assert 100 <= len(streamed(100, exact).score) < 110


def test_a_rank_beyond_what_was_kept_is_none() -> None:
    impostors = streamed(100, np.random.default_rng(2).normal(size=(5, 10)))
    assert impostors.exact(51, lambda rows, columns: np.zeros(len(rows))) is None


def test_everything_above_the_floor_is_kept() -> None:
    exact = np.random.default_rng(3).normal(size=(30, 400))
    impostors = streamed(200, exact)
    assert (impostors.score >= impostors.floor).all()
    assert len(impostors.score) >= int((exact > impostors.floor + ERROR).sum())
