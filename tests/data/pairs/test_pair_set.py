from __future__ import annotations

from pathlib import Path

import pytest

from facekd.data.opening import open_pairs
from facekd.data.pairs.insightface_bin import write_bin
from facekd.data.pairs.pair_set import paired, people_of
from facekd.errors import DataError


@pytest.fixture
def images(tmp_path: Path) -> Path:
    root = tmp_path / "images"
    for name, number in [("Ada", 1), ("Ada", 2), ("Bo", 1)]:
        path = root / name / f"{name}_{number:04d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(f"{name} {number}".encode())
    return root


CSV = "fold,path1,path2,same\n1,Ada/Ada_0001.jpg,Ada/Ada_0002.jpg,1\n1,Ada/Ada_0001.jpg,Bo/Bo_0001.jpg,0\n"
LFW = "1\t1\nAda\t1\t2\nAda\t1\tBo\t1\n"


def written(folder: Path, kind: str, images: Path) -> Path:
    path = folder / f"list.{kind}"
    if kind == "bin":
        write_bin(open_pairs(written(folder, "csv", images), images), path)
    else:
        path.write_text(CSV if kind == "csv" else LFW)
    return path


@pytest.mark.parametrize("kind", ["csv", "txt", "bin"])
def test_all_kinds_give_the_same_pairs(tmp_path: Path, images: Path, kind: str) -> None:
    pairs = open_pairs(written(tmp_path, kind, images), images)
    assert (pairs.first.tolist(), pairs.second.tolist(), pairs.same.tolist()) == ([0, 0], [1, 2], [True, False])
    assert [pairs.read(index) for index in range(3)] == [b"Ada 1", b"Ada 2", b"Bo 1"]


@pytest.mark.parametrize("kind", ["csv", "txt"])
def test_the_content_decides_not_the_ending(tmp_path: Path, images: Path, kind: str) -> None:
    path = written(tmp_path, kind, images).rename(tmp_path / "list")
    assert len(open_pairs(path, images)) == 2


def test_bin_under_another_ending(tmp_path: Path, images: Path) -> None:
    path = written(tmp_path, "bin", images).rename(tmp_path / "list.pkl")
    assert len(open_pairs(path, None)) == 2


@pytest.mark.parametrize("kind", ["csv", "txt"])
def test_a_list_of_paths_needs_their_folder(tmp_path: Path, images: Path, kind: str) -> None:
    with pytest.raises(DataError, match="say which folder"):
        open_pairs(written(tmp_path, kind, images), None)


@pytest.mark.parametrize("kind", ["csv", "txt"])
def test_folder_of_images_must_exist(tmp_path: Path, images: Path, kind: str) -> None:
    with pytest.raises(DataError, match=r"nowhere does not exist"):
        open_pairs(written(tmp_path, kind, images), tmp_path / "nowhere")


def test_list_must_exist(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.csv cannot be read"):
        open_pairs(tmp_path / "none.csv", tmp_path)


@pytest.mark.parametrize("content", [b"", b"hello world\n", b"\xff\xfe\x00", b"0\t0\n"])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "pairs.txt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"pairs\.txt"):
        open_pairs(path, tmp_path)


def test_a_file_that_vanished_is_named(tmp_path: Path, images: Path) -> None:
    pairs = open_pairs(written(tmp_path, "csv", images), images)
    (images / "Bo" / "Bo_0001.jpg").unlink()
    with pytest.raises(DataError, match=r"Bo_0001\.jpg cannot be read"):
        pairs.read(2)


def test_where_names_file_or_pair(tmp_path: Path, images: Path) -> None:
    of_files = open_pairs(written(tmp_path, "csv", images), images)
    assert of_files.where(2) == str(images / "Bo" / "Bo_0001.jpg")
    stored = open_pairs(written(tmp_path, "bin", images), None)
    assert stored.where(2) == f"{tmp_path / 'list.bin'}, pair 2, second image"


def people(rows: list[tuple[str, str, bool]]) -> list[str] | None:
    first, second, same = ([row[i] for row in rows] for i in range(3))
    root = Path("/faces")
    return people_of(paired(Path("list.csv"), [root / str(p) for p in first], [root / str(p) for p in second],
                            [bool(s) for s in same], [1] * len(rows)))


@pytest.mark.parametrize("form", ["{}/{}.png", "{}/frontal/{}.png", "frontal/{}/{}.png"])
def test_the_level_that_agrees_with_the_list_is_the_person(form: str) -> None:
    ann, anna, bo = form.format("ann", 1), form.format("ann", 2), form.format("bo", 1)
    assert people([(ann, anna, True), (anna, bo, False)]) == ["ann", "ann", "bo"]


@pytest.mark.parametrize("rows", [
    [("1.png", "2.png", True), ("1.png", "3.png", False)],
    [("a/1.png", "b/2.png", True), ("a/1.png", "c/3.png", False)],
    [("a/1.png", "a/2.png", True), ("b/1.png", "b/3.png", True)],
    [("a/1.png", "b/2.png", False), ("a/1.png", "c/3.png", False)],
])
def test_nothing_is_guessed(rows: list[tuple[str, str, bool]]) -> None:
    assert people(rows) is None


def test_encoded_images_name_nobody() -> None:
    assert people_of(paired(Path("x.bin"), [b"1", b"3"], [b"2", b"4"], [True, False], [1, 1])) is None


@pytest.mark.parametrize("which", ["pairs_ff.csv", "pairs_fp.csv"])
def test_real_lists_know_their_people(shared: Path, which: str) -> None:
    pairs = open_pairs(shared / "faces" / "cfp" / which, shared / "faces" / "cfp")
    found = people_of(pairs)
    assert found is not None
    assert len(set(found)) == 400
