from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from facekd.api.search_result import distill_commands, draw_search, list_students, read_search
from facekd.errors import DataError
from facekd.io import files
from facekd.io.documents import read_json


def test_the_students_are_listed_without_the_teacher(search_run: Path) -> None:
    students = json.loads((search_run / "search.json").read_text())["students"]
    assert list(students) == ["teacher", "searched", "uniform", "random_0", "random_1"]
    assert list_students(search_run) == {name: students[name]["plan"] for name in list(students)[1:]}


def test_there_is_a_command_line_for_each_student(search_run: Path) -> None:
    lines = distill_commands(search_run)
    for line, (name, plan) in zip(lines, list_students(search_run).items(), strict=True):
        assert line == (f"facekd distill DATASET PLAN runs/{name} head.name=softmax student.size=32 "
                        f"student.normalization=unit student.name=resnet_pruned student.options.plan={plan}")


def test_the_picture_is_in_the_folder_of_the_result(search_run: Path) -> None:
    picture = draw_search(search_run)
    reached = f"{read_search(search_run).reached / 1e6:.3g} of at most 13.3 million multiply-adds"
    assert picture == search_run / "search.svg"
    assert f"resnet14 and the student found in it: {reached}" in picture.read_text()


def test_without_a_finished_search_nothing_is_drawn(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"search\.json does not exist; run 'facekd search TEACHER"):
        draw_search(tmp_path)


def test_the_result_of_an_older_version_is_refused(search_run: Path, tmp_path: Path) -> None:
    shutil.copy(search_run / "search.json", tmp_path)
    files.write_json(tmp_path / "search.json", {**read_json(tmp_path / "search.json"), "version": 1})
    with pytest.raises(DataError, match=r"older facekd .*; search again in a new folder"):
        read_search(tmp_path)


def _damage(content: dict[str, Any], key: str, value: object) -> dict[str, Any]:
    """Set a dotted key of a copy; None removes it."""
    copy: dict[str, Any] = json.loads(json.dumps(content))
    *levels, last = key.split(".")
    place = copy
    for level in levels:
        place = place[level]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return copy


@pytest.mark.parametrize(("key", "value"), [
    ("students", None), ("students", []), ("students.searched", None), ("students.searched", 5),
    ("students.searched.plan", None), ("students.searched.plan", "16/16"), ("students.searched.plan", [1]),
    ("students.teacher.plan", "16/16:16/32:32/64:64,64,64"), ("teacher", []), ("teacher.size", "32"),
    ("teacher.outputs", None), ("teacher.normalization", "unit; rm -rf x"), ("closed_set", 1), ("cost", "money"),
    ("reached", "much"), ("budget", None), ("history", {}),
])
@pytest.mark.parametrize("read", [distill_commands, draw_search, list_students])
def test_a_damaged_result_is_refused_with_its_key(
    search_run: Path, tmp_path: Path, key: str, value: object, read: Any
) -> None:
    files.write_json(tmp_path / "search.json", _damage(read_json(search_run / "search.json"), key, value))
    with pytest.raises(DataError, match=rf"search.json is damaged: .*'{key.split('.')[0]}.*search again") as raised:
        read(tmp_path)
    assert len(str(raised.value)) < 500


def test_a_student_whose_name_is_a_command_is_refused(search_run: Path, tmp_path: Path) -> None:
    content = read_json(search_run / "search.json")
    content["students"]["x; rm -rf y"] = content["students"]["uniform"]
    files.write_json(tmp_path / "search.json", content)
    with pytest.raises(DataError, match=r"search\.json is damaged"):
        list_students(tmp_path)
