from __future__ import annotations

import numpy as np
import pytest

from facekd.evaluation.statistics.weighted_rates import shares


def by_hand(genuine: list[float], impostors: list[float], limit: int) -> float:
    """The best share over every threshold there could be, one item after the other."""
    best = 0.0
    for threshold in [-np.inf, *genuine, *impostors]:
        if sum(score > threshold for score in impostors) <= limit:
            best = max(best, sum(score > threshold for score in genuine) / len(genuine))
    return best


@pytest.mark.parametrize("seed", range(20))
def test_shares_are_those_of_items_that_are_there_several_times(seed: int) -> None:
    generator = np.random.default_rng(seed)
    genuine, impostors = (np.sort(generator.integers(0, 12, size) / 4)[::-1] for size in (9, 14))
    own, other = generator.integers(0, 4, 9) + (np.arange(9) == 0), generator.integers(0, 4, 14)
    limits = np.arange(8)
    found = shares(genuine, own, impostors, other, limits)
    expected = [by_hand(np.repeat(genuine, own).tolist(), np.repeat(impostors, other).tolist(), limit)
                for limit in limits.tolist()]
    np.testing.assert_allclose(found, expected)


def test_items_at_minus_infinity_are_never_accepted() -> None:
    found = shares(np.array([1.0, -np.inf]), np.array([1, 1]), np.array([0.5]), np.array([1]), np.array([5]))
    assert found.tolist() == [0.5]
