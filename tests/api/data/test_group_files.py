from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facekd.api.data.group_files import write_people, write_sheet, write_table
from facekd.data.opening import open_faces
from facekd.evaluation.dataset_quality.grouping import Grouping
from tests.data.containers.test_image_folder import write_files

NAN = np.float32(np.nan)


def grouping(*group: int) -> Grouping:
    count = len(group)
    return Grouping(0.4, np.array(group), np.full(count, 0.5, np.float32), np.full(count, -1),
                    np.full(count, NAN, np.float32))


def copied(folder: Path) -> list[str]:
    return sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())


def test_files_keep_their_names_and_bytes(tmp_path: Path) -> None:
    faces = open_faces(write_files(tmp_path / "set", "x/1.jpg", "y/2.PNG", "y/z/3.webp"))
    write_people(tmp_path / "out", faces, grouping(0, 1, 0), ["A", "B"])
    assert copied(tmp_path / "out") == ["A/1.jpg", "A/3.webp", "B/2.PNG"]
    assert (tmp_path / "out" / "B" / "2.PNG").read_bytes() == b"y/2.PNG"


def test_equal_names_get_the_number_of_the_image(tmp_path: Path) -> None:
    faces = open_faces(write_files(tmp_path / "set", "x/1.jpg", "y/1.jpg", "z.jpg"))
    write_people(tmp_path / "out", faces, grouping(0, 0, -1), ["A"])
    assert copied(tmp_path / "out") == ["A/0-1.jpg", "A/1-1.jpg"]


def test_images_of_a_container_get_an_extension(fixtures: Path, tmp_path: Path) -> None:
    faces = open_faces(fixtures / "record")
    write_people(tmp_path / "out", faces, grouping(*[0] * 32), ["A"])
    assert copied(tmp_path / "out")[0] == "A/1.jpg"


def test_cells_of_what_does_not_exist_are_empty(tmp_path: Path) -> None:
    faces = open_faces(write_files(tmp_path / "set", "1.jpg", "2.jpg"))
    groups = Grouping(0.4, np.array([0, -1]), np.array([0.5, NAN], np.float32), np.array([-1, 0]),
                      np.array([NAN, 0.25], np.float32))
    write_table(tmp_path / "t.csv", faces, groups, ["A"])
    assert (tmp_path / "t.csv").read_text().splitlines()[1:] == ["1.jpg,A,0.5000,,,", "2.jpg,,,A,0.2500,0.1500"]


@pytest.mark.parametrize("doubtful", [[], [0, 5]])
def test_a_sheet_is_a_picture(fixtures: Path, tmp_path: Path, doubtful: list[int]) -> None:
    faces = open_faces(fixtures / "record")
    rows = np.eye(32, dtype=np.float32)
    groups = Grouping(0.4, np.array([0, 0, 1, 1, 1, -1] + [-1] * 26), np.full(32, 0.5, np.float32),
                      np.array([1] * 2 + [0] * 30), np.full(32, 0.45, np.float32))
    write_sheet(tmp_path / "s.jpg", faces, rows, groups, doubtful)
    assert (tmp_path / "s.jpg").read_bytes().startswith(b"\xff\xd8")
