from __future__ import annotations

from pathlib import Path

import pytest

from facekd.data.megaface.feature_names import check_suffix, list_image_names
from facekd.errors import DataError


def test_the_names_in_a_tree_are_listed(tmp_path: Path) -> None:
    for name in ("b/2.jpg_m.bin", "a/1.jpg_m.bin", "a/note.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert list_image_names(tmp_path, "_m.bin") == ["a/1.jpg", "b/2.jpg"]


def test_a_tree_without_such_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no file below .* ends in '_x\.bin'"):
        list_image_names(tmp_path, "_x.bin")


@pytest.mark.parametrize("suffix", ["", "/x.bin", "a/../b", "\\x", "\x1b]0;t\x07"])
def test_what_is_no_end_of_a_file_name_is_refused(suffix: str) -> None:
    with pytest.raises(DataError, match="is no end of a file name; give one of 1 to 100 characters"):
        check_suffix(suffix)


def test_the_suffix_of_the_kit_passes() -> None:
    check_suffix("_buffalo_l.bin")
