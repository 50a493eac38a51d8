from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import pytest

from facekd.data.alignment.align_list import AlignEntry, FaceCrop, read_align_list, write_align_list
from facekd.errors import DataError

SETTINGS = {"size": 112, "png": False, "all_faces": True, "detector": "abc"}
ENTRIES = {
    "a/x.png": AlignEntry(faces=2, crops=[
        FaceCrop(crop="a/x.png.jpg", score=0.5, landmarks=[[1.0, 2.5]] * 5),
        FaceCrop(crop="a/x.png.face2.jpg", score=0.25, landmarks=[[3.0, 0.5]] * 5),
    ]),
    "a/y.jpg": AlignEntry(problem="no face"),
    os.fsdecode(b"\xff\xfe/z.jpg"): AlignEntry(problem="unreadable"),
}


def test_what_was_written_comes_back(tmp_path: Path) -> None:
    write_align_list(tmp_path, SETTINGS, ENTRIES)
    assert read_align_list(tmp_path, SETTINGS) == ENTRIES


def test_the_file_is_plain_json(tmp_path: Path) -> None:
    write_align_list(tmp_path, SETTINGS, ENTRIES)
    content = json.loads((tmp_path / "align.json").read_bytes())
    assert content["photographs"]["a/y.jpg"] == {"problem": "no face"}
    assert content["photographs"]["\udcff\udcfe/z.jpg"] == {"problem": "unreadable"}


def test_without_a_file_there_are_no_entries(tmp_path: Path) -> None:
    assert read_align_list(tmp_path, SETTINGS) == {}


@pytest.mark.parametrize(("key", "value"), [("size", 96), ("png", True), ("all_faces", False), ("detector", "other")])
def test_crops_of_other_settings_are_refused(tmp_path: Path, key: str, value: Any) -> None:
    write_align_list(tmp_path, SETTINGS, ENTRIES)
    with pytest.raises(DataError, match=f"holds crops made with {key} .*, now it is {value}; give another folder"):
        read_align_list(tmp_path, {**SETTINGS, key: value})


CROP: dict[str, Any] = {"crop": "a.jpg", "score": 0.5, "landmarks": [[1.0, 2.0]] * 5}
DAMAGES: list[dict[str, Any]] = [
    {"photographs": []}, {"photographs": {"a.jpg": 1}}, {"photographs": {"a.jpg": {"problem": "x"}}},
    {"photographs": {"a.jpg": {"faces": -1}}}, {"photographs": {"a.jpg": {"faces": "2"}}},
    {"photographs": {"a.jpg": {"crops": [{**CROP, "crop": 5}]}}},
    {"photographs": {"a.jpg": {"crops": [{**CROP, "landmarks": [[1.0, 2.0]]}]}}},
    {"photographs": {"a.jpg": {"crops": [{**CROP, "landmarks": [[1.0]] * 5}]}}},
    {"photographs": {"a.jpg": {"crops": CROP}}}, {"photographs": {"a.jpg": {"other": 1}}},
    {"size": "112"}, {"size": None}, {"png": 1}, {"detector": []}, {"more": 1}, {"x" * 10_000: 1},
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: str(damage)[:40])
def test_a_damaged_file_is_one_sentence(tmp_path: Path, damage: dict[str, Any]) -> None:
    content = {"format": "facekd.align", "version": 2, **SETTINGS, "photographs": {}, **damage}
    (tmp_path / "align.json").write_text(json.dumps(content))
    message = r"align\.json is damaged: .*; restore it, or delete it to align all photographs"
    with pytest.raises(DataError, match=message) as caught:
        read_align_list(tmp_path, SETTINGS)
    assert len(str(caught.value)) < 500


def test_numbers_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    entry = {"crops": [{**CROP, "score": math.nan}]}
    content = {"format": "facekd.align", "version": 2, **SETTINGS, "photographs": {"a": entry}}
    (tmp_path / "align.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"align\.json .*NaN"):
        read_align_list(tmp_path, SETTINGS)
