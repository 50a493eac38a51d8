from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from numpy.typing import NDArray

from facekd.data.loading.sampler import balanced_order, check_balanced_batch
from facekd.errors import DataError

COUNTS = [1, 2, 3, 4, 5, 9, 40, 3, 4, 7]
LABELS = np.random.default_rng(1).permutation(np.repeat(np.arange(10) * 2, COUNTS))


def batches(num_batches: int, batch_size: int = 12, samples_per_class: int = 4, seed: int = 0) -> NDArray[np.int64]:
    """Return image indices [batches, classes of a batch, samples per class]."""
    order = balanced_order(LABELS, num_batches, batch_size, samples_per_class, np.random.default_rng(seed))
    assert order.dtype == np.int64
    return order.reshape(num_batches, batch_size // samples_per_class, samples_per_class)


@pytest.mark.parametrize(("batch_size", "samples_per_class"), [(12, 4), (40, 4), (6, 3), (10, 2), (8, 8), (5, 1)])
def test_a_batch_holds_so_many_images_of_so_many_classes(batch_size: int, samples_per_class: int) -> None:
    for labels in LABELS[batches(30, batch_size, samples_per_class)]:
        assert (labels == labels[:, :1]).all()
        assert len(set(labels[:, 0])) == batch_size // samples_per_class


def test_no_class_that_has_enough_images_is_shown_with_repeats() -> None:
    for images in batches(50).reshape(-1, 4):
        count = COUNTS[LABELS[images[0]] // 2]
        assert len(set(images.tolist())) == min(4, count)


def test_all_classes_come_about_as_often() -> None:
    occurrences = Counter(LABELS[batches(1000)][:, :, 0].ravel().tolist())
    assert sorted(occurrences) == list(range(0, 20, 2))
    assert all(abs(count - 300) < 50 for count in occurrences.values())


def test_the_images_of_a_class_take_turns() -> None:
    occurrences = Counter(batches(1000).ravel().tolist())
    for label, num_images in zip(range(0, 20, 2), COUNTS, strict=True):
        counts = [occurrences[int(i)] for i in np.flatnonzero(np.equal(LABELS, label))]
        assert min(counts) > 0.7 * sum(counts) / num_images, label


def test_it_follows_from_the_generator_alone() -> None:
    np.testing.assert_array_equal(batches(20, seed=3), batches(20, seed=3))
    assert (batches(20, seed=3) != batches(20, seed=4)).any()


def test_a_batch_that_is_no_multiple_is_refused() -> None:
    message = r"a batch of 10 images cannot hold 4 .* multiple of data\.samples_per_class=4"
    with pytest.raises(DataError, match=message):
        check_balanced_batch(LABELS, 10, 4)


def test_too_few_classes_are_refused() -> None:
    check_balanced_batch(LABELS, 40, 4)
    with pytest.raises(DataError, match=r"has 10 classes, a batch of 44 with 4 images each needs 11"):
        check_balanced_batch(LABELS, 44, 4)
