from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from facekd.data.loading.unreadable import BadRecords, stand_ins
from facekd.errors import DataError


def lines(bad: BadRecords) -> list[str]:
    return bad.file.read_text().splitlines()


def test_an_image_is_listed_once_where_and_why(tmp_path: Path) -> None:
    bad = BadRecords(tmp_path / "bad.txt", 2)
    for _ in range(3):
        bad.add("a.rec record 7", DataError("a.rec record 7 does not decode"))
        bad.add("b.jpg", DataError("b.jpg: cut\nshort"))
    assert lines(bad) == ["a.rec record 7: does not decode", "b.jpg: cut short"]


def test_one_more_than_allowed_is_an_error_that_names_the_list(tmp_path: Path) -> None:
    bad = BadRecords(tmp_path / "bad.txt", 1)
    bad.add("a", DataError("a is no image"))
    with pytest.raises(DataError, match=r"2 images .* data\.bad_records=1; .*bad\.txt lists them"):
        bad.add("b", DataError("b is no image"))
    assert lines(bad) == ["a: is no image", "b: is no image"]


def test_the_list_is_continued_by_others(tmp_path: Path) -> None:
    """Another process of the training, or the same training resumed."""
    one, other = (BadRecords(tmp_path / "bad.txt", 2) for _ in range(2))
    one.add("a", DataError("a is bad"))
    other.add("a", DataError("a is bad"))
    other.add("b", DataError("b is bad"))
    with pytest.raises(DataError, match="3 images"):
        one.add("c", DataError("c is bad"))
    assert lines(one) == ["a: is bad", "b: is bad", "c: is bad"]


def test_no_list_is_made_for_nothing(tmp_path: Path) -> None:
    BadRecords(tmp_path / "bad.txt", 2)
    assert not list(tmp_path.iterdir())


def test_names_that_are_no_utf8_are_listed(tmp_path: Path) -> None:
    bad = BadRecords(tmp_path / "bad.txt", 2)
    bad.add("\udcff.jpg", DataError("\udcff.jpg is bad"))
    shutil.copy(bad.file, tmp_path / "copy.txt")
    BadRecords(bad.file, 2).add("\udcff.jpg", DataError("\udcff.jpg is bad"))
    assert bad.file.read_bytes() == (tmp_path / "copy.txt").read_bytes() == b"\xff.jpg: is bad\n"


@pytest.mark.parametrize(("bad", "taken"), [
    ([0, 0, 0], [0, 1, 2]), ([0, 1, 0, 0], [0, 2, 2, 3]), ([0, 1, 1, 0], [0, 3, 3, 3]), ([0, 0, 1, 1], [0, 1, 0, 0]),
    ([1, 0], [1, 1]), ([1, 1, 1, 0, 1], [3, 3, 3, 3, 3]),
])
def test_the_next_good_one_stands_in(bad: list[int], taken: list[int]) -> None:
    assert stand_ins(np.array(bad, np.bool_)).tolist() == taken


def test_a_batch_without_a_good_one_is_refused() -> None:
    with pytest.raises(DataError, match="not one of the 4 images of a batch can be used"):
        stand_ins(np.ones(4, np.bool_))
