from __future__ import annotations

import os
from pathlib import Path

import pytest

from facekd.data.evaluation_set import EvaluationSet, list_folder
from facekd.errors import DataError


@pytest.fixture
def lfw(tmp_path: Path) -> Path:
    """A folder with a pair list and two images."""
    for name in ("pairs.csv", "a/1.jpg", "b/1.jpg"):
        (tmp_path / "lfw" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "lfw" / name).write_bytes(b"content")
    return tmp_path / "lfw"


def digest(folder: Path) -> str:
    inputs = {"pairs": folder / "pairs.csv", "images": folder}
    return EvaluationSet("LFW", "lfw", "verify", inputs).stat_digest()


def test_the_digest_of_a_set_does_not_depend_on_where_it_lies(lfw: Path) -> None:
    before = digest(lfw)
    (lfw.parent / "elsewhere").mkdir()
    assert digest(lfw.rename(lfw.parent / "elsewhere" / "LFW")) == before


def test_the_digest_of_a_set_is_another_after_a_file_was_changed(lfw: Path) -> None:
    before = digest(lfw)
    os.utime(lfw / "b" / "1.jpg", ns=(1, 1))
    assert digest(lfw) != before


def test_the_digest_of_a_set_is_another_after_a_file_was_removed(lfw: Path) -> None:
    before = digest(lfw)
    (lfw / "b" / "1.jpg").unlink()
    assert digest(lfw) != before


def test_the_digest_accepts_links_that_lead_nowhere_or_round_in_circles(lfw: Path) -> None:
    (lfw / "c").symlink_to(lfw / "nothing")
    (lfw / "d").symlink_to(lfw)
    assert len(digest(lfw)) == 64


def test_the_items_of_a_folder_are_sorted(lfw: Path) -> None:
    assert list_folder(lfw) == [lfw / "a", lfw / "b", lfw / "pairs.csv"]


def test_a_folder_that_cannot_be_listed_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none cannot be listed \(No such file or directory\)"):
        list_folder(tmp_path / "none")
