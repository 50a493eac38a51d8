"""Contents of JSON files as objects: what is accepted, and how a mistake is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from facekd.errors import DataError
from facekd.io.files import read_versioned, write_versioned
from facekd.io.records import FileName, Record, check_record, tuples_to_lists


class Stage(Record):
    share: float


class Content(Record):
    name: str
    stages: list[Stage]
    note: str | None = None


GOOD = {"name": "a", "stages": [{"share": 1}]}


def test_what_follows_the_schema_becomes_an_object() -> None:
    assert check_record(Content, GOOD, "x", DataError) == Content(name="a", stages=[Stage(share=1)])


@pytest.mark.parametrize(("change", "phrase"), [
    ({"stages": [{}]}, "'stages.0.share' is missing"),
    ({"nme": 1}, "'nme' is no key of this file"),
    ({"name": 5}, "'name': input should be a valid string, not 5"),
    ({"stages": [{"share": "1"}]}, "'stages.0.share': input should be a valid number, not '1'"),
    ({"stages": [{"share": True}]}, "'stages.0.share': input should be a valid number, not True"),
    ({"stages": [{"share": float("nan")}]}, "'stages.0.share': input should be a finite number, not nan"),
    ({"stages": {}}, "'stages': input should be a valid list"),
])
def test_a_mistake_is_named_with_its_key(change: dict[str, object], phrase: str) -> None:
    with pytest.raises(DataError) as raised:
        check_record(Content, GOOD | change, "x.json", DataError, remedy="do it again")
    assert str(raised.value) == f"x.json is damaged: {phrase}; do it again"


@pytest.mark.parametrize("change", [{"name": ["x" * 10**6] * 50}, {"k" * 10**6: 1}, {"stages": [["x" * 10**6]]}])
def test_a_message_is_short(change: dict[str, object]) -> None:
    with pytest.raises(DataError) as raised:
        check_record(Content, GOOD | change, "x.json", DataError)
    assert len(str(raised.value)) < 400


def test_a_versioned_file_is_checked_without_its_format(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    write_versioned(file, "thing", 1, GOOD)
    assert read_versioned(file, "thing", 1, DataError, schema=Content).name == "a"
    write_versioned(file, "thing", 1, {"name": "a"})
    with pytest.raises(DataError, match=r"a\.json is damaged: 'stages' is missing; restore it, or make it again"):
        read_versioned(file, "thing", 1, DataError, schema=Content, remedy="make it again")


class Place(Record):
    file: FileName


@pytest.mark.parametrize("name", ["a", "a/b.onnx", "..a", "\udcff", "ä" * 100])
def test_a_file_of_the_folder_is_accepted(name: str) -> None:
    assert check_record(Place, {"file": name}, "x", DataError).file == name


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../x", "a/../../x", "a\0", "x" * 300, "ä" * 150, "a/" * 3000])
def test_a_file_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(DataError, match="'file': "):
        check_record(Place, {"file": name}, "x", DataError)


def test_lists_stand_in_place_of_tuples_as_in_json() -> None:
    value = {"a": (1, (2.5, None)), "b": [("x",), {"c": ()}], "d": "text"}
    assert tuples_to_lists(value) == json.loads(json.dumps(value))
