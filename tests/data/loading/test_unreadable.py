from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from facekd.data.loading.unreadable import UnreadableImages, replacement_rows
from facekd.errors import DataError


def lines(log: UnreadableImages) -> list[str]:
    return log.file.read_text().splitlines()


def test_an_image_is_listed_once_where_and_why(tmp_path: Path) -> None:
    log = UnreadableImages(tmp_path / "log.txt", 2)
    for _ in range(3):
        log.add("a.rec record 7", DataError("a.rec record 7 does not decode"))
        log.add("b\x1c\n.jpg", DataError("b\x1c\n.jpg: cut short"))
    assert log.file.read_text() == "a.rec record 7: does not decode\nb\x1c\\n.jpg: cut short\n"


def test_one_more_than_allowed_is_an_error_that_names_the_log(tmp_path: Path) -> None:
    log = UnreadableImages(tmp_path / "log.txt", 1)
    log.add("a", DataError("a is no image"))
    with pytest.raises(DataError, match=r"2 images .* data\.max_unreadable_images=1; .*log\.txt lists them"):
        log.add("b", DataError("b is no image"))
    assert lines(log) == ["a: is no image", "b: is no image"]


def test_other_processes_continue_the_log(tmp_path: Path) -> None:
    """Other objects are another process of the run, or the same run after it was resumed."""
    one, other = (UnreadableImages(tmp_path / "log.txt", 2) for _ in range(2))
    one.add("a", DataError("a is bad"))
    other.add("a", DataError("a is bad"))
    other.add("b", DataError("b is bad"))
    with pytest.raises(DataError, match="3 images"):
        one.add("c", DataError("c is bad"))
    assert lines(one) == ["a: is bad", "b: is bad", "c: is bad"]


def test_no_file_is_created_without_unreadable_images(tmp_path: Path) -> None:
    UnreadableImages(tmp_path / "log.txt", 2)
    assert not list(tmp_path.iterdir())


def test_names_that_are_no_utf8_are_listed(tmp_path: Path) -> None:
    log = UnreadableImages(tmp_path / "log.txt", 2)
    log.add("\udcff.jpg", DataError("\udcff.jpg is bad"))
    shutil.copy(log.file, tmp_path / "copy.txt")
    UnreadableImages(log.file, 2).add("\udcff.jpg", DataError("\udcff.jpg is bad"))
    assert log.file.read_bytes() == (tmp_path / "copy.txt").read_bytes() == b"\xff.jpg: is bad\n"


@pytest.mark.parametrize(("unreadable", "rows"), [
    ([0, 0, 0], [0, 1, 2]), ([0, 1, 0, 0], [0, 2, 2, 3]), ([0, 1, 1, 0], [0, 3, 3, 3]), ([0, 0, 1, 1], [0, 1, 0, 0]),
    ([1, 0], [1, 1]), ([1, 1, 1, 0, 1], [3, 3, 3, 3, 3]),
])
def test_the_next_readable_row_is_the_replacement(unreadable: list[int], rows: list[int]) -> None:
    assert replacement_rows(np.array(unreadable, np.bool_)).tolist() == rows


def test_a_batch_without_a_readable_image_is_refused() -> None:
    with pytest.raises(DataError, match="none of the 4 images of a batch can be used"):
        replacement_rows(np.ones(4, np.bool_))
