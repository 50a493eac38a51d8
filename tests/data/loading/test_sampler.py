from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from numpy.typing import NDArray

from facekd.data.loading.sampler import balanced, check_balance
from facekd.errors import DataError

COUNTS = [1, 2, 3, 4, 5, 9, 40, 3, 4, 7]
LABELS = np.random.default_rng(1).permutation(np.repeat(np.arange(10) * 2, COUNTS))


def batches(steps: int, batch: int = 12, each: int = 4, seed: int = 0) -> NDArray[np.int64]:
    order = balanced(LABELS, steps, batch, each, np.random.default_rng(seed))
    assert order.dtype == np.int64
    return order.reshape(steps, batch // each, each)


@pytest.mark.parametrize(("batch", "each"), [(12, 4), (40, 4), (6, 3), (10, 2), (8, 8), (5, 1)])
def test_a_batch_holds_so_many_images_of_so_many_people(batch: int, each: int) -> None:
    for one in LABELS[batches(30, batch, each)]:
        assert (one == one[:, :1]).all()
        assert len(set(one[:, 0])) == batch // each


def test_nobody_who_has_enough_images_is_shown_with_repeats() -> None:
    for person in batches(50).reshape(-1, 4):
        has = COUNTS[LABELS[person[0]] // 2]
        assert len(set(person.tolist())) == min(4, has)


def test_all_people_come_about_as_often() -> None:
    come = Counter(LABELS[batches(1000)][:, :, 0].ravel().tolist())
    assert sorted(come) == list(range(0, 20, 2))
    assert all(abs(count - 300) < 50 for count in come.values())


def test_the_images_of_a_person_take_turns() -> None:
    shown = Counter(batches(1000).ravel().tolist())
    for label, has in zip(range(0, 20, 2), COUNTS, strict=True):
        counts = [shown[int(i)] for i in np.flatnonzero(np.equal(LABELS, label))]
        assert min(counts) > 0.7 * sum(counts) / has, label


def test_it_follows_from_the_generator_alone() -> None:
    np.testing.assert_array_equal(batches(20, seed=3), batches(20, seed=3))
    assert (batches(20, seed=3) != batches(20, seed=4)).any()


def test_a_batch_that_is_no_multiple_is_refused() -> None:
    with pytest.raises(DataError, match=r"a batch of 10 images cannot hold 4 .* multiple of data\.images_each=4"):
        check_balance(LABELS, 10, 4)


def test_too_few_people_are_refused() -> None:
    check_balance(LABELS, 40, 4)
    with pytest.raises(DataError, match=r"has 10 people, a batch of 44 with 4 images each needs 11"):
        check_balance(LABELS, 44, 4)
