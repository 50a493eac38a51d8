from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from facekd.data.image_set import DatasetFingerprint, ImageSet, Pixels, Subset, split_validation


class GrayImages(ImageSet):
    """Image i has the gray value i and the label i % 4."""

    def __init__(self, count: int) -> None:
        self.path = Path("gray")
        self.class_names = ["north", "east", "south", "west"]
        self.labels = np.arange(count, dtype=np.int64) % 4

    def pixels(self, index: int) -> Pixels:
        return np.full((2, 2, 3), index, np.uint8)

    def stored_bytes(self, index: int) -> bytes:
        return bytes([index]) * (index + 1)

    def location(self, index: int) -> str:
        return f"gray, record {index}"


def fingerprint_of(rows: list[tuple[int, bytes]], classes: int) -> DatasetFingerprint:
    text = b"".join(b"%d %d\n%s" % (label, len(data), data) for label, data in rows)
    return DatasetFingerprint(hashlib.sha256(text).hexdigest(), classes, len(rows))


def values(images: ImageSet) -> list[int]:
    return [int(images.pixels(i)[0, 0, 0]) for i in range(len(images))]


def test_the_fingerprint_is_the_hash_of_labels_and_contents() -> None:
    assert GrayImages(3).fingerprint() == fingerprint_of([(0, b"\0"), (1, b"\1\1"), (2, b"\2\2\2")], 4)


def test_the_order_counts() -> None:
    first, second = (Subset(GrayImages(9), np.array(indices)).fingerprint() for indices in ([1, 5], [5, 1]))
    assert first.content != second.content


def test_a_subset_holds_its_images_in_its_order_and_all_classes() -> None:
    subset = Subset(GrayImages(10), np.array([7, 2, 5]))
    assert (len(subset), subset.num_classes, subset.path) == (3, 4, Path("gray"))
    assert values(subset) == [7, 2, 5]
    assert subset.labels.tolist() == [3, 2, 1]
    assert [subset.location(i) for i in range(3)] == ["gray, record 7", "gray, record 2", "gray, record 5"]
    assert subset.fingerprint() == fingerprint_of([(3, b"\7" * 8), (2, b"\2" * 3), (1, b"\5" * 6)], 4)


def test_a_subset_of_a_subset_counts_in_the_smaller() -> None:
    subset = Subset(Subset(GrayImages(10), np.array([7, 2, 5])), np.array([2, 0]))
    assert (values(subset), subset.labels.tolist(), subset.location(0)) == ([5, 7], [1, 3], "gray, record 5")


def test_an_image_is_called_by_its_location_unless_the_set_knows_better() -> None:
    assert [images.image_name(1) for images in (GrayImages(3), Subset(GrayImages(10), np.array([7, 2])))] == [
        "gray, record 1", "gray, record 2"]


@pytest.mark.parametrize(("fraction", "count"), [(0.05, 10), (0.25, 50), (0.4, 80)])
def test_a_slice_is_held_out_and_the_rest_is_left(fraction: float, count: int) -> None:
    train, held_out = split_validation(GrayImages(200), fraction)
    assert len(held_out) == count
    assert sorted(values(train) + values(held_out)) == list(range(200))
    assert values(train) == sorted(values(train)) and values(held_out) == sorted(values(held_out))
    assert (train.num_classes, held_out.num_classes) == (4, 4)
    assert max(values(held_out)) > 150 and min(values(held_out)) < 50  # from all over the set, not its end


def test_the_same_images_are_held_out_whatever_was_drawn_before() -> None:
    splits = []
    for seed in (0, 1):
        np.random.seed(seed)
        splits.append(values(split_validation(GrayImages(200), 0.1)[1]))
    assert splits[0] == splits[1]


def test_nothing_is_held_out_for_a_fraction_of_0() -> None:
    train, held_out = split_validation(GrayImages(20), 0)
    assert (values(train), len(held_out)) == (list(range(20)), 0)
