from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from facekd.data.megaface.template_lists import (
    distractor_list_path,
    list_distractor_sizes,
    read_distractor_list,
    read_probe_list,
)
from facekd.errors import DataError


def write_list(folder: Path, content: Any, name: str = "list.json") -> Path:
    path = folder / name
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


@pytest.fixture
def lists(shared: Path) -> Path:
    return shared / "megaface" / "templatelists"


def test_published_probes(lists: Path) -> None:
    probes = read_probe_list(lists / "facescrub_features_list.json")
    labels = probes.labels
    assert labels is not None
    assert (len(probes), len(probes.identities), labels.dtype.name) == (3530, 80, "int64")
    assert [probes.identities[label] for label in labels] == [path.split("/")[0] for path in probes.paths]
    assert sum(int((labels == label).sum()) - 1 for label in labels) == 153_634


@pytest.mark.parametrize("size", [10, 100, 1000, 10_000, 100_000])
def test_published_distractors(lists: Path, size: int) -> None:
    distractors = read_distractor_list(distractor_list_path(lists, size))
    assert distractors.paths == json.loads((lists / f"megaface_features_list.json_{size}_1").read_text())["path"]
    assert (len(distractors), distractors.labels) == (size, None)


def test_published_sizes(lists: Path) -> None:
    assert list_distractor_sizes(lists) == [10, 100, 1000, 10_000, 100_000]
    assert list_distractor_sizes(lists, set_index=2) == []


def test_identities_in_the_order_of_their_first_image(tmp_path: Path) -> None:
    path = write_list(tmp_path, {"path": ["b/1.png", "a/1.png", "b/2.png"], "id": ["b", "a", "b"]})
    probes = read_probe_list(path)
    assert probes.labels is not None
    assert (probes.labels.tolist(), probes.identities) == ([0, 1, 0], ("b", "a"))


def test_ids_may_be_numbers(tmp_path: Path) -> None:
    probes = read_probe_list(write_list(tmp_path, {"path": ["x.png", "y.png"], "id": [7, 3]}))
    assert probes.identities == ("7", "3")


def test_other_files_are_no_distractor_lists(tmp_path: Path) -> None:
    for name in ("megaface_features_list.json_100_1", "megaface_features_list.json_20_1", "notes_50_1",
                 "megaface_features_list.json_30_2", "megaface_features_list.json_40_1.bak"):
        write_list(tmp_path, {}, name)
    assert list_distractor_sizes(tmp_path) == [20, 100]


def test_a_size_that_is_not_available(tmp_path: Path) -> None:
    write_list(tmp_path, {}, "megaface_features_list.json_100_1")
    write_list(tmp_path, {}, "megaface_features_list.json_10_1")
    with pytest.raises(DataError, match=r"no distractor list of size 50, set 1; of set 1 it has the sizes 10, 100\."):
        distractor_list_path(tmp_path, 50)


def test_a_set_that_is_not_available(tmp_path: Path) -> None:
    write_list(tmp_path, {}, "megaface_features_list.json_100_1")
    with pytest.raises(DataError, match=r"size 100, set 3; of set 3 it has no distractor list"):
        distractor_list_path(tmp_path, 100, 3)


def test_a_folder_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="absent is not a folder"):
        list_distractor_sizes(tmp_path / "absent")


def test_a_list_shorter_than_its_name_says(tmp_path: Path) -> None:
    path = write_list(tmp_path, {"path": ["a.jpg", "b.jpg"]}, "megaface_features_list.json_3_1")
    with pytest.raises(DataError, match=r"megaface_features_list\.json_3_1 holds 2 paths, its name says 3"):
        read_distractor_list(path)


@pytest.mark.parametrize(("content", "message"), [
    ({"paths": []}, "'path' is missing"),
    ({"path": []}, "'path' is empty"),
    ({"path": "a.jpg"}, "'path' is not a list"),
    (["a.jpg"], "an object is needed"),
    ({"path": ["a.jpg", 3]}, r"path\[1\] is 3"),
    ({"path": ["a.jpg", "b.jpg", "a.jpg"]}, r"a.jpg \(2 times\)"),
])
def test_a_wrong_distractor_list(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(DataError, match=rf"list\.json.*{message}"):
        read_distractor_list(write_list(tmp_path, content))


@pytest.mark.parametrize("unsafe", ["", "/a.jpg", "\\a.jpg", "C:/a.jpg", "c:a.jpg", "..", "../a.jpg", "a/../../b.jpg",
                                    "a\\..\\b.jpg", "a/..", "a\0b.jpg"])
def test_a_path_that_leaves_the_folder(tmp_path: Path, unsafe: str) -> None:
    with pytest.raises(DataError, match=r"path\[1\] is '.*relative and without"):
        read_distractor_list(write_list(tmp_path, {"path": ["fine.jpg", unsafe]}))


@pytest.mark.parametrize("safe", ["a..b.jpg", "..a/b.jpg", "a/b../c.jpg", "876/12345678@N00/444_0.jpg", "a b.jpg"])
def test_a_path_that_stays(tmp_path: Path, safe: str) -> None:
    assert read_distractor_list(write_list(tmp_path, {"path": [safe]})).paths == [safe]


def test_five_problems_are_named_and_the_rest_counted(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"8 problems: .*path\[4\] is 4 and 3 more; "):
        read_distractor_list(write_list(tmp_path, {"path": list(range(8))}))


@pytest.mark.parametrize(("ids", "message"), [
    (["a"], "'path' has 2 entries and 'id' 1"),
    (None, "'id' is not a list"),
    (["a", None], r"id\[1\] is None"),
    (["a", True], r"id\[1\] is True"),
])
def test_wrong_ids(tmp_path: Path, ids: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_probe_list(write_list(tmp_path, {"path": ["a/1.png", "a/2.png"], "id": ids}))


def test_a_probe_list_without_ids(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="'id' is missing"):
        read_probe_list(write_list(tmp_path, {"path": ["a/1.png"]}))


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent\.json does not exist"):
        read_probe_list(tmp_path / "absent.json")


def test_not_json(tmp_path: Path) -> None:
    path = tmp_path / "list.json"
    path.write_bytes(b'{"path": ["a')
    with pytest.raises(DataError, match=r"list\.json cannot be read as JSON"):
        read_probe_list(path)
