"""Groups from a column of the list and from a file beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from facekd.data.pairs.groups import group_by_column, group_by_file
from facekd.data.pairs.pair_set import PairSet
from facekd.data.pairs.text_lists import read_csv
from facekd.errors import DataError

LIST = """fold,path1,path2,same,group
1,a/1.jpg,a/2.jpg,1,women
1,a/1.jpg,b/1.jpg,0,women
2,c/1.jpg,c/2.jpg,1,
"""


@pytest.fixture
def pairs(tmp_path: Path) -> PairSet:
    for name in ("a/1.jpg", "a/2.jpg", "b/1.jpg", "c/1.jpg", "c/2.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "pairs.csv").write_text(LIST)
    return read_csv(tmp_path / "pairs.csv", tmp_path)


def test_the_column_gives_both_images_their_group(pairs: PairSet, tmp_path: Path) -> None:
    grouped = group_by_column(pairs, tmp_path)
    assert grouped.groups == ["women", "women", "women", "", ""] and grouped.without_group == 2


def test_an_image_with_two_groups_is_named(pairs: PairSet, tmp_path: Path) -> None:
    pairs.source.write_text(LIST.replace("b/1.jpg,0,women", "b/1.jpg,0,men"))
    with pytest.raises(DataError, match=r"line 3: a/1\.jpg is of the group 'men', and above of 'women'"):
        group_by_column(pairs, tmp_path)


def test_a_list_without_the_column_says_what_to_do(pairs: PairSet, tmp_path: Path) -> None:
    pairs.source.write_text(LIST.replace(",group", ""))
    with pytest.raises(DataError, match=r"pairs\.csv, line 1: the header lacks group; add the column, or give"):
        group_by_column(pairs, tmp_path)


@pytest.mark.parametrize("text", [
    "identity,group\na,women\nc,men\n", "path,group\na/1.jpg,women\na/2.jpg,women\nc/1.jpg,men\nc/2.jpg,men\n"])
def test_a_file_names_people_or_paths(pairs: PairSet, tmp_path: Path, text: str) -> None:
    (tmp_path / "groups.csv").write_text(text)
    assert group_by_file(pairs, tmp_path, tmp_path / "groups.csv").groups == ["women", "women", "", "men", "men"]


@pytest.mark.parametrize(("text", "message"), [
    ("identity,group\na,women\na,men\n", "line 3: a has two groups"), ("identity,group\na,\n", "line 2: a path or"),
    ("identity,colour\na,b\n", "the header lacks group"), ("identity,group\nz,men\n", "names no image of"),
])
def test_a_file_that_contradicts_itself_or_names_nobody_is_refused(
    pairs: PairSet, tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "groups.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        group_by_file(pairs, tmp_path, tmp_path / "groups.csv")
