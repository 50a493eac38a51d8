from __future__ import annotations

import json
from pathlib import Path

import pytest

from facekd.data.megaface.noise_lists import NoiseList, read_noise_list, read_noise_lists
from facekd.errors import DataError


def write_list(folder: Path, text: str) -> Path:
    path = folder / "noises.txt"
    path.write_bytes(text.encode("utf-8"))
    return path


def read_paths(shared: Path, name: str) -> list[str]:
    paths: list[str] = json.loads((shared / "megaface" / "templatelists" / name).read_text())["path"]
    return paths


def test_published_lists(shared: Path) -> None:
    noise = read_noise_lists(shared / "megaface" / "noise")
    assert (len(noise.probes.names), len(set(noise.probes.names))) == (605, 605)
    assert (len(noise.distractors.names), len(set(noise.distractors.names))) == (719, 707)


def test_published_list_touches_24_probes(shared: Path) -> None:
    noise_list = read_noise_lists(shared / "megaface" / "noise").probes
    paths = read_paths(shared, "facescrub_features_list.json")
    lines = (shared / "megaface" / "noise" / "facescrub_noises.txt").read_text().split("\n")
    assert noise_list.match(paths).tolist() == [path.split("/")[1] in lines for path in paths]
    assert (noise_list.match(paths).sum(), noise_list.count_lines_naming(paths)) == (24, 24)


def test_81_published_lines_touch_80_distractors(shared: Path) -> None:
    noise_list = read_noise_lists(shared / "megaface" / "noise").distractors
    paths = read_paths(shared, "megaface_features_list.json_100000_1")
    lines = set((shared / "megaface" / "noise" / "megaface_noises.txt").read_text().split("\n"))
    assert noise_list.match(paths).tolist() == [path in lines for path in paths]
    assert (noise_list.match(paths).sum(), noise_list.count_lines_naming(paths)) == (80, 81)


def test_comments_blank_lines_and_line_ends(tmp_path: Path) -> None:
    path = write_list(tmp_path, "# a rule\r\n\r\nAda_1.png\r\nBo_2.png  \n\n")
    assert read_noise_list(path, 1).names == ("Ada_1.png", "Bo_2.png")


def test_second_column_where_there_are_tabs(tmp_path: Path) -> None:
    path = write_list(tmp_path, "Ada\t1/2/a.jpg\n1/2/b.jpg\nBo\t1/2/c.jpg\t0.5\n")
    assert read_noise_list(path, 3).names == ("1/2/a.jpg", "1/2/b.jpg", "1/2/c.jpg")


def test_a_file_name_is_looked_for_in_any_folder() -> None:
    noise_list = NoiseList(Path("x"), ("Ada_1.png",), 1)
    assert noise_list.match(["Ada/Ada_1.png", "Ada_1.png", "Ada/Ada_11.png", "Ada_1.png/x"]).tolist() == [1, 1, 0, 0]


def test_three_components_are_compared_as_a_unit() -> None:
    noise_list = NoiseList(Path("x"), ("1/2/a.jpg",), 3)
    paths = ["1/2/a.jpg", "root/1/2/a.jpg", "2/a.jpg", "11/2/a.jpg", "1/3/a.jpg"]
    assert noise_list.match(paths).tolist() == [1, 1, 0, 0, 0]


def test_case_counts() -> None:
    assert not NoiseList(Path("x"), ("ada_1.png",), 1).match(["Ada/Ada_1.png"]).any()


def test_no_image_at_all() -> None:
    assert NoiseList(Path("x"), ("a.png",), 1).match([]).dtype == bool


@pytest.mark.parametrize(("text", "num_components", "message"), [
    ("# nothing\n", 1, "names no image"),
    ("a.png\nAda/b.png\n", 1, "line 2: 'Ada/b.png' is not a file name"),
    ("# x\n1/a.jpg\n", 3, "line 2: '1/a.jpg' is not a path of 3 components"),
])
def test_a_wrong_list(tmp_path: Path, text: str, num_components: int, message: str) -> None:
    with pytest.raises(DataError, match=f"noises.txt.*{message}"):
        read_noise_list(write_list(tmp_path, text), num_components)


def test_a_list_that_is_not_text(tmp_path: Path) -> None:
    path = tmp_path / "noises.txt"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"noises\.txt is no text, it holds zero bytes"):
        read_noise_list(path, 1)


def test_a_list_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"facescrub_noises\.txt does not exist"):
        read_noise_lists(tmp_path)
