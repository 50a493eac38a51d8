"""RFW and BFW in the format of their published files."""

from __future__ import annotations

from pathlib import Path

import pytest

from facekd.data.pairs.rfw_bfw import is_bfw, read_bfw, read_rfw
from facekd.errors import DataError

BFW = """fold,p1,p2,label,id1,id2,att1,att2,vgg16,resnet50,senet50,a1,a2,g1,g2,e1,e2
1,asian_females/n000009/0010_01.jpg,asian_females/n000009/0043_01.jpg,1.0,0,0,asian_females,asian_females,0.8,0.5,0.5,AF,AF,F,F,A,A
2,asian_females/n000009/0010_01.jpg,white_males/n000190/0007_02.jpg,0.0,0,9,asian_females,white_males,0.1,0.0,0.1,AF,WM,F,M,A,W
"""


def touch(*files: Path) -> None:
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()


@pytest.fixture
def rfw(tmp_path: Path) -> Path:
    """RFW with two lists of two lines: tabs, no header, identifiers of Freebase."""
    for race in ("African", "Asian"):
        images = tmp_path / "data" / race
        touch(*(images / name / f"{name}_{number:04d}.jpg" for name in ("m.0c7mh2", "m.027b7ly") for number in (1, 3)))
        (tmp_path / "txts" / race).mkdir(parents=True)
        text = "m.0c7mh2\t1\t3\nm.0c7mh2\t3\tm.027b7ly\t1\n"
        (tmp_path / "txts" / race / f"{race}_pairs.txt").write_text(text)
    return tmp_path


def test_rfw_has_a_group_per_list(rfw: Path) -> None:
    grouped = read_rfw(rfw)
    pairs = grouped.pairs
    assert pairs.same.tolist() == [True, False, True, False] and pairs.fold.tolist() == [1] * 4
    assert grouped.groups == ["African"] * 3 + ["Asian"] * 3
    assert pairs.images[0] == rfw / "data/African/m.0c7mh2/m.0c7mh2_0001.jpg"
    assert pairs.images[int(pairs.second[1])] == rfw / "data/African/m.027b7ly/m.027b7ly_0001.jpg"


def test_a_fold_of_rfw_has_600_lines(rfw: Path) -> None:
    file = rfw / "txts" / "African" / "African_pairs.txt"
    file.write_text("m.0c7mh2\t1\t3\n" * 601)
    assert read_rfw(rfw).pairs.fold[:601].tolist() == [1] * 600 + [2]


@pytest.mark.parametrize("line", ["m.0c7mh2 1 3", "m.0c7mh2\t1\tx", "../m\t1\t3", "a\t1"])
def test_a_wrong_line_of_rfw_is_named(rfw: Path, line: str) -> None:
    (rfw / "txts" / "Asian" / "Asian_pairs.txt").write_text(line + "\n")
    with pytest.raises(DataError, match=r"Asian_pairs\.txt has 1 problem: line 1"):
        read_rfw(rfw)


def test_a_folder_without_lists_of_rfw_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no lists of RFW, txts/RACE/RACE_pairs\.txt"):
        read_rfw(tmp_path)


def test_a_missing_image_is_named(rfw: Path) -> None:
    (rfw / "data/Asian/m.0c7mh2/m.0c7mh2_0001.jpg").unlink()
    with pytest.raises(DataError, match=r"1 of the 6 images that .* do not exist"):
        read_rfw(rfw)


def test_bfw_has_a_group_per_image(tmp_path: Path) -> None:
    table = tmp_path / "bfw-v0.1.5-datatable.csv"
    table.write_text(BFW)
    touch(tmp_path / "asian_females/n000009/0010_01.jpg", tmp_path / "asian_females/n000009/0043_01.jpg",
          tmp_path / "white_males/n000190/0007_02.jpg")
    assert is_bfw(table)
    grouped = read_bfw(table, tmp_path)
    assert grouped.groups == ["asian_females", "asian_females", "white_males"]
    assert (grouped.pairs.same.tolist(), grouped.pairs.fold.tolist()) == ([True, False], [1, 2])


@pytest.mark.parametrize(("old", "new"), [("1.0", "2.0"), ("1,asian", "x,asian"), ("1,asian", "1,/asian")])
def test_a_wrong_line_of_bfw_is_named(tmp_path: Path, old: str, new: str) -> None:
    (tmp_path / "t.csv").write_text(BFW.replace(old, new, 1))
    with pytest.raises(DataError, match=r"t\.csv has 1 problem: line 2"):
        read_bfw(tmp_path / "t.csv", tmp_path)


def test_a_pair_list_is_no_table_of_bfw(tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text("fold,path1,path2,same\n")
    assert not is_bfw(tmp_path / "pairs.csv")
