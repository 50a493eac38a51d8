from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest

from facekd.data.pairs.text_lists import read_csv, read_lfw
from facekd.errors import DataError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Write four images each of Ada and Bo, in LFW's layout, and a PNG of Cy."""
    for name in ("Ada", "Bo"):
        (tmp_path / name).mkdir()
        for number in range(1, 5):
            (tmp_path / name / f"{name}_{number:04d}.jpg").touch()
    (tmp_path / "Cy").mkdir()
    (tmp_path / "Cy" / "Cy_0001.png").touch()
    return tmp_path


def write_list(folder: Path, text: str) -> Path:
    path = folder / "pairs"
    path.write_bytes(text.encode("utf-8"))
    return path


@pytest.mark.parametrize("name", ["pairs_ff.csv", "pairs_fp.csv"])
def test_csv_of_cfp(shared: Path, name: str) -> None:
    root = shared / "faces" / "cfp"
    pairs = read_csv(root / name, root)
    with (root / name).open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert len(pairs) == len(rows) == 5600
    assert [str(pairs.images[index]) for index in pairs.first] == [str(root / row["path1"]) for row in rows]
    assert [str(pairs.images[index]) for index in pairs.second] == [str(root / row["path2"]) for row in rows]
    assert pairs.same.tolist() == [row["same"] == "1" for row in rows]
    assert np.bincount(pairs.fold).tolist() == [0, *[700] * 8]
    assert len(set(pairs.images)) == len(pairs.images)


def test_csv_columns_in_any_order_with_more(root: Path) -> None:
    text = "\ufeffsame,note,path2,path1,fold\r\n0,x,Bo/Bo_0001.jpg,Ada/Ada_0001.jpg,7\r\n"
    pairs = read_csv(write_list(root, text), root)
    assert pairs.images == [root / "Ada" / "Ada_0001.jpg", root / "Bo" / "Bo_0001.jpg"]
    assert (pairs.same.tolist(), pairs.fold.tolist()) == ([False], [7])


@pytest.mark.parametrize(
    ("header", "missing"),
    [("fold,path1,same", "path2"), ("path1,path2", "fold, same"), ("1,a.jpg,b.jpg,1", "fold, path1, path2, same")],
)
def test_csv_without_a_column(root: Path, header: str, missing: str) -> None:
    with pytest.raises(DataError, match=f"line 1: the header lacks {missing};"):
        read_csv(write_list(root, header + "\n"), root)


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("one,Ada/Ada_0001.jpg,Ada/Ada_0002.jpg,1", "line 3: fold is 'one'"),
        ("-1,Ada/Ada_0001.jpg,Ada/Ada_0002.jpg,1", "line 3: fold is '-1'"),
        ("1.0,Ada/Ada_0001.jpg,Ada/Ada_0002.jpg,1", "line 3: fold is '1.0'"),
        (f"{10**30},Ada/Ada_0001.jpg,Ada/Ada_0002.jpg,1", "line 3: fold is '1000"),
        ("1,Ada/Ada_0001.jpg,Ada/Ada_0002.jpg,yes", "line 3: same is 'yes'"),
        ("1,Ada/Ada_0001.jpg,Ada/Ada_0002.jpg", "line 3: same is ''"),
        ("1,Ada/Ada_0001.jpg,,1", "line 3: a path is missing"),
    ],
)
def test_csv_with_a_wrong_line(root: Path, row: str, problem: str) -> None:
    text = f"fold,path1,path2,same\n1,Ada/Ada_0001.jpg,Ada/Ada_0002.jpg,1\n{row}\n"
    with pytest.raises(DataError, match=problem):
        read_csv(write_list(root, text), root)


def test_csv_counts_its_wrong_lines(root: Path) -> None:
    rows = "x,a,b,1\n" * 8
    with pytest.raises(DataError, match=r"8 problems: line 2: .*line 6: .* and 3 more"):
        read_csv(write_list(root, "fold,path1,path2,same\n" + rows), root)


def test_csv_counts_the_missing_images(root: Path) -> None:
    rows = "".join(f"1,Ada/Ada_0001.jpg,Ada/Ada_{number:04d}.jpg,1\n" for number in range(2, 12))
    with pytest.raises(DataError, match=r"7 of the 11 images .*Ada_0005\.jpg.* and 2 more"):
        read_csv(write_list(root, "fold,path1,path2,same\n" + rows), root)


def test_csv_without_pairs(root: Path) -> None:
    with pytest.raises(DataError, match="holds no pairs"):
        read_csv(write_list(root, "fold,path1,path2,same\n"), root)


@pytest.mark.parametrize("gap", ["\t", " "])
def test_lfw_folds_are_matched_then_mismatched(root: Path, gap: str) -> None:
    lines = ["2 2", "Ada 1 2", "Bo 3 4", "Ada 1 Bo 1", "Ada 2 Bo 2", "Ada 3 4", "Bo 1 2", "Bo 1 Ada 4", "Cy 1 Ada 2"]
    pairs = read_lfw(write_list(root, "\n".join(lines).replace(" ", gap) + "\n"), root)
    assert pairs.same.tolist() == [True, True, False, False] * 2
    assert pairs.fold.tolist() == [1] * 4 + [2] * 4
    assert pairs.images[pairs.first[1]] == root / "Bo" / "Bo_0003.jpg"
    assert pairs.images[pairs.second[6]] == root / "Ada" / "Ada_0004.jpg"
    assert pairs.images[pairs.first[7]] == root / "Cy" / "Cy_0001.png"


def test_lfw_development_list_is_one_fold(root: Path) -> None:
    pairs = read_lfw(write_list(root, "1\nAda\t1\t2\nAda\t1\tBo\t1\n"), root)
    assert (pairs.fold.tolist(), pairs.same.tolist()) == ([1, 1], [True, False])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("1\t1\nAda\t1\tBo\t1\nAda\t1\t2\n", "2 problems: line 2: 'name i j' .*line 3: 'name1 i name2 j'"),
        ("1\t1\nAda\t1\ttwo\nAda\t1\tBo\t1\n", "line 2: 'name i j'"),
        ("1\t1\nAda\t1\t2\nAda\tx\tBo\t1\n", "line 3: 'name1 i name2 j'"),
        ("2\t1\nAda\t1\t2\nAda\t1\tBo\t1\n", "2 pairs where the first line promises 2 x 2 x 1 = 4"),
        ("1\t1\nAda\t1\t9\nAda\t1\tBo\t1\n", r"1 of the 3 images .*Ada_0009\.jpg"),
        ("0\t3\n", "line 1: neither"),
        ("Ada\t1\t2\n", "line 1: neither"),
        ("", "line 1: neither"),
    ],
)
def test_lfw_problems_are_named(root: Path, text: str, problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        read_lfw(write_list(root, text), root)


OUTSIDE = ["/etc/hostname", "../Ada/Ada_0001.jpg", "Ada/../../x.jpg"]


@pytest.mark.parametrize("path", OUTSIDE)
@pytest.mark.parametrize("row", ["1,{},Ada/Ada_0001.jpg,1", "1,Ada/Ada_0001.jpg,{},1"])
def test_csv_names_no_image_outside_of_its_folder(root: Path, path: str, row: str) -> None:
    with pytest.raises(DataError, match="line 2: a path is absolute or leads out of the folder of the images"):
        read_csv(write_list(root, f"fold,path1,path2,same\n{row.format(path)}\n"), root)


@pytest.mark.parametrize("name", ["..", "../x", "/etc"])
@pytest.mark.parametrize("lines", ["{0}\t1\t2\nAda\t1\tBo\t1", "Ada\t1\t2\n{0}\t1\tBo\t1", "Ada\t1\t2\nBo\t1\t{0}\t1"])
def test_lfw_names_no_image_outside_of_its_folder(root: Path, name: str, lines: str) -> None:
    with pytest.raises(DataError, match="a path is absolute or leads out of the folder of the images"):
        read_lfw(write_list(root, f"1\t1\n{lines.format(name)}\n"), root)


def test_a_path_that_no_file_system_holds_is_missing(root: Path) -> None:
    for path in ("a" * 300, "a" * 100_000, "a\x01b"):
        with pytest.raises(DataError, match="1 of the 2 images") as caught:
            read_csv(write_list(root, f"fold,path1,path2,same\n1,{path},Ada/Ada_0001.jpg,1\n"), root)
        assert len(str(caught.value)) < 500
    with pytest.raises(DataError, match="1 of the 3 images"):
        read_lfw(write_list(root, f"1\t1\nAda\t1\t2\nAda\t1\t{'B' * 300}\t1\n"), root)


def test_a_field_of_many_characters_is_one_sentence(root: Path) -> None:
    for text in (f"fold,path1,path2,same\n1,{'a' * 140_000},b,1\n", "x" * 140_000 + ",fold,path1,path2,same\n"):
        with pytest.raises(DataError, match=r"pairs cannot be read as CSV \(field larger than field limit"):
            read_csv(write_list(root, text), root)


@pytest.mark.parametrize("number", ["1" * 5000, "1\x022", "\uff11"])
def test_lfw_numbers_have_ascii_digits_and_at_most_18(root: Path, number: str) -> None:
    with pytest.raises(DataError, match="line 2: 'name i j'"):
        read_lfw(write_list(root, f"1 1\nA\t{number}\t2\nAda\t1\tBo\t1\n"), root)
    with pytest.raises(DataError, match="line 1: neither"):
        read_lfw(write_list(root, f"{number}\n"), root)


def test_a_control_character_ends_no_line(root: Path) -> None:
    (root / "Ada" / "x\x1cy\u2028.jpg").touch()
    pairs = read_csv(write_list(root, "fold,path1,path2,same\n1,Ada/x\x1cy\u2028.jpg,Ada/Ada_0001.jpg,1\n"), root)
    assert pairs.images[0] == root / "Ada" / "x\x1cy\u2028.jpg"


def test_names_that_are_not_utf8(root: Path) -> None:
    path = root / os.fsdecode(b"Ada/\xff.jpg")
    path.touch()
    list_file = write_list(root, "")
    list_file.write_bytes(b"fold,path1,path2,same\n1,Ada/\xff.jpg,Ada/Ada_0001.jpg,1\n")
    assert read_csv(list_file, root).images[0] == path


def test_a_list_in_utf16_is_refused(root: Path) -> None:
    list_file = write_list(root, "")
    list_file.write_bytes("fold,path1,path2,same\n".encode("utf-16"))
    with pytest.raises(DataError, match="is no UTF-8 text, it holds zero bytes; save it as UTF-8"):
        read_csv(list_file, root)
