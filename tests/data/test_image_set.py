from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from facekd.data.image_set import Fingerprint, ImageSet, Pixels, Subset, withhold


class Grey(ImageSet):
    """Image i is a grey of value i; label i % 4."""

    def __init__(self, count: int) -> None:
        self.path, self.names = Path("grey"), ["north", "east", "south", "west"]
        self.labels = np.arange(count, dtype=np.int64) % 4

    def pixels(self, index: int) -> Pixels:
        return np.full((2, 2, 3), index, np.uint8)

    def content(self, index: int) -> bytes:
        return bytes([index]) * (index + 1)

    def where(self, index: int) -> str:
        return f"grey, record {index}"


def fingerprint_of(rows: list[tuple[int, bytes]], classes: int) -> Fingerprint:
    text = b"".join(b"%d %d\n%s" % (label, len(data), data) for label, data in rows)
    return Fingerprint(hashlib.sha256(text).hexdigest(), classes, len(rows))


def values(images: ImageSet) -> list[int]:
    return [int(images.pixels(i)[0, 0, 0]) for i in range(len(images))]


def test_the_fingerprint_is_the_hash_of_labels_and_contents() -> None:
    assert Grey(3).fingerprint() == fingerprint_of([(0, b"\0"), (1, b"\1\1"), (2, b"\2\2\2")], 4)


def test_the_order_counts() -> None:
    one, other = (Subset(Grey(9), np.array(index)).fingerprint() for index in ([1, 5], [5, 1]))
    assert one.content != other.content


def test_a_subset_holds_its_images_in_its_order_and_all_classes() -> None:
    part = Subset(Grey(10), np.array([7, 2, 5]))
    assert (len(part), part.classes, part.path) == (3, 4, Path("grey"))
    assert values(part) == [7, 2, 5]
    assert part.labels.tolist() == [3, 2, 1]
    assert [part.where(i) for i in range(3)] == ["grey, record 7", "grey, record 2", "grey, record 5"]
    assert part.fingerprint() == fingerprint_of([(3, b"\7" * 8), (2, b"\2" * 3), (1, b"\5" * 6)], 4)


def test_a_subset_of_a_subset_counts_in_the_smaller() -> None:
    part = Subset(Subset(Grey(10), np.array([7, 2, 5])), np.array([2, 0]))
    assert (values(part), part.labels.tolist(), part.where(0)) == ([5, 7], [1, 3], "grey, record 5")


def test_an_image_is_called_by_its_place_unless_the_set_knows_better() -> None:
    assert [images.name(1) for images in (Grey(3), Subset(Grey(10), np.array([7, 2])))] == [
        "grey, record 1", "grey, record 2"]


@pytest.mark.parametrize(("share", "count"), [(0.05, 10), (0.25, 50), (0.4, 80)])
def test_a_slice_is_withheld_and_the_rest_is_left(share: float, count: int) -> None:
    left, withheld = withhold(Grey(200), share)
    assert len(withheld) == count
    assert sorted(values(left) + values(withheld)) == list(range(200))
    assert values(left) == sorted(values(left)) and values(withheld) == sorted(values(withheld))
    assert (left.classes, withheld.classes) == (4, 4)
    assert max(values(withheld)) > 150 and min(values(withheld)) < 50  # from all over the set, not its end


def test_the_same_images_are_withheld_whatever_was_drawn_before() -> None:
    found = []
    for seed in (0, 1):
        np.random.seed(seed)
        found.append(values(withhold(Grey(200), 0.1)[1]))
    assert found[0] == found[1]


def test_nothing_is_withheld_for_a_share_of_0() -> None:
    left, withheld = withhold(Grey(20), 0)
    assert (values(left), len(withheld)) == (list(range(20)), 0)
