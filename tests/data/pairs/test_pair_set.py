from __future__ import annotations

from pathlib import Path

import pytest

from facekd.data.opening import open_pairs
from facekd.data.pairs.insightface_bin import write_bin
from facekd.data.pairs.pair_set import build_pair_set, identities_from_folders
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


def write_pair_list(folder: Path, kind: str, images: Path) -> Path:
    """Write the same two pairs as a CSV file, as LFW's text file, or as an InsightFace .bin file."""
    path = folder / f"list.{kind}"
    if kind == "bin":
        write_bin(open_pairs(write_pair_list(folder, "csv", images), images), path)
    else:
        path.write_text(CSV if kind == "csv" else LFW)
    return path


@pytest.mark.parametrize("kind", ["csv", "txt", "bin"])
def test_all_kinds_give_the_same_pairs(tmp_path: Path, images: Path, kind: str) -> None:
    pairs = open_pairs(write_pair_list(tmp_path, kind, images), images)
    assert (pairs.first.tolist(), pairs.second.tolist(), pairs.same.tolist()) == ([0, 0], [1, 2], [True, False])
    assert [pairs.read(index) for index in range(3)] == [b"Ada 1", b"Ada 2", b"Bo 1"]


@pytest.mark.parametrize("kind", ["csv", "txt"])
def test_the_content_decides_not_the_extension(tmp_path: Path, images: Path, kind: str) -> None:
    path = write_pair_list(tmp_path, kind, images).rename(tmp_path / "list")
    assert len(open_pairs(path, images)) == 2


def test_bin_under_another_extension(tmp_path: Path, images: Path) -> None:
    path = write_pair_list(tmp_path, "bin", images).rename(tmp_path / "list.pkl")
    assert len(open_pairs(path, None)) == 2


@pytest.mark.parametrize("kind", ["csv", "txt"])
def test_a_list_of_paths_needs_their_folder(tmp_path: Path, images: Path, kind: str) -> None:
    with pytest.raises(DataError, match="give the folder they start from"):
        open_pairs(write_pair_list(tmp_path, kind, images), None)


@pytest.mark.parametrize("kind", ["csv", "txt"])
def test_folder_of_images_must_exist(tmp_path: Path, images: Path, kind: str) -> None:
    with pytest.raises(DataError, match=r"nowhere does not exist"):
        open_pairs(write_pair_list(tmp_path, kind, images), tmp_path / "nowhere")


def test_list_must_exist(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.csv does not exist"):
        open_pairs(tmp_path / "none.csv", tmp_path)


@pytest.mark.parametrize("content", [b"", b"hello world\n", b"\xff\xfe\x00", b"0\t0\n"])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "pairs.txt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"pairs\.txt"):
        open_pairs(path, tmp_path)


def test_a_file_that_vanished_is_named(tmp_path: Path, images: Path) -> None:
    pairs = open_pairs(write_pair_list(tmp_path, "csv", images), images)
    (images / "Bo" / "Bo_0001.jpg").unlink()
    with pytest.raises(DataError, match=r"Bo_0001\.jpg cannot be read"):
        pairs.read(2)


def test_the_location_names_file_or_pair(tmp_path: Path, images: Path) -> None:
    of_files = open_pairs(write_pair_list(tmp_path, "csv", images), images)
    assert of_files.location(2) == str(images / "Bo" / "Bo_0001.jpg")
    stored = open_pairs(write_pair_list(tmp_path, "bin", images), None)
    assert stored.location(2) == f"{tmp_path / 'list.bin'}, pair 2, second image"


def infer_identities(rows: list[tuple[str, str, bool]]) -> list[str] | None:
    first, second, same = ([row[i] for row in rows] for i in range(3))
    root = Path("/faces")
    first_paths = [root / str(path) for path in first]
    second_paths = [root / str(path) for path in second]
    same_person = [bool(value) for value in same]
    pairs = build_pair_set(Path("list.csv"), first_paths, second_paths, same_person, [1] * len(rows))
    return identities_from_folders(pairs)


@pytest.mark.parametrize("form", ["{}/{}.png", "{}/frontal/{}.png", "frontal/{}/{}.png"])
def test_the_folder_level_that_agrees_with_the_labels_is_the_identity(form: str) -> None:
    ann, anna, bo = form.format("ann", 1), form.format("ann", 2), form.format("bo", 1)
    assert infer_identities([(ann, anna, True), (anna, bo, False)]) == ["ann", "ann", "bo"]


@pytest.mark.parametrize("rows", [
    [("1.png", "2.png", True), ("1.png", "3.png", False)],
    [("a/1.png", "b/2.png", True), ("a/1.png", "c/3.png", False)],
    [("a/1.png", "a/2.png", True), ("b/1.png", "b/3.png", True)],
    [("a/1.png", "b/2.png", False), ("a/1.png", "c/3.png", False)],
])
def test_nothing_is_guessed(rows: list[tuple[str, str, bool]]) -> None:
    assert infer_identities(rows) is None


def test_encoded_images_have_no_identities() -> None:
    pairs = build_pair_set(Path("x.bin"), [b"1", b"3"], [b"2", b"4"], [True, False], [1, 1])
    assert identities_from_folders(pairs) is None


@pytest.mark.parametrize("which", ["pairs_ff.csv", "pairs_fp.csv"])
def test_the_identities_of_real_lists_are_inferred(shared: Path, which: str) -> None:
    pairs = open_pairs(shared / "faces" / "cfp" / which, shared / "faces" / "cfp")
    identities = identities_from_folders(pairs)
    assert identities is not None
    assert len(set(identities)) == 400
