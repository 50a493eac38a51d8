from __future__ import annotations

import csv
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.model_selection import KFold

from facekd.data.pairs.insightface_bin import read_bin, write_bin
from facekd.data.pairs.pair_set import build_pair_set
from facekd.data.pairs.text_lists import read_csv
from facekd.errors import DataError


def write_pickle(folder: Path, content: Any, protocol: int = 2) -> Path:
    path = folder / "set.bin"
    path.write_bytes(pickle.dumps(content, protocol))
    return path


def encoded_images(count: int) -> list[bytes]:
    return [b"picture %d" % number for number in range(count)]


def test_a_published_set_equals_its_pairs_in_the_csv(shared: Path) -> None:
    root = shared / "faces" / "cfp"
    pairs = read_bin(shared / "faces" / "cfp_fp_fold1.bin")
    with (root / "pairs_fp.csv").open(newline="") as handle:
        rows = [row for row in csv.DictReader(handle) if row["fold"] == "1"]
    chosen = rows[:200] + rows[-200:]  # matched and mismatched, of the fold's 700
    assert len(pairs) == 400
    assert pairs.same.tolist() == [row["same"] == "1" for row in chosen]
    assert [pairs.read(index) for index in pairs.first] == [(root / row["path1"]).read_bytes() for row in chosen]
    assert [pairs.read(index) for index in pairs.second] == [(root / row["path2"]).read_bytes() for row in chosen]


@pytest.mark.parametrize("count", [1, 7, 10, 11, 25, 6000])
def test_folds_are_those_of_scikit_learn(tmp_path: Path, count: int) -> None:
    pairs = read_bin(write_pickle(tmp_path, (encoded_images(2 * count), [True] * count)))
    expected = np.ones(count, int)
    if count > 1:
        for number, (_, test) in enumerate(KFold(min(10, count)).split(np.arange(count)), 1):
            expected[test] = number
    np.testing.assert_array_equal(pairs.fold, expected)


def test_images_as_arrays_and_repeated_ones(tmp_path: Path) -> None:
    one, two = np.frombuffer(b"one", np.uint8), np.frombuffer(b"two", np.uint8)
    pairs = read_bin(write_pickle(tmp_path, ([one, two, two, b"one"], [np.bool_(True), 0])))
    assert pairs.images == [b"one", b"two"]
    assert (pairs.first.tolist(), pairs.second.tolist()) == ([0, 1], [1, 0])
    assert pairs.same.tolist() == [True, False]


def test_booleans_as_an_array(tmp_path: Path) -> None:
    assert read_bin(write_pickle(tmp_path, (encoded_images(4), np.array([True, False])))).same.tolist() == [True, False]


@pytest.mark.parametrize("protocol", range(6))
def test_every_protocol(tmp_path: Path, protocol: int) -> None:
    assert len(read_bin(write_pickle(tmp_path, (encoded_images(4), [True, False]), protocol))) == 2


@pytest.mark.parametrize("form", [list, tuple])
def test_arrays_and_byte_arrays_of_the_newest_protocol(tmp_path: Path, form: Callable[..., Any]) -> None:
    images = form([np.frombuffer(b"one", np.uint8), bytearray(b"two"), np.frombuffer(b"three", np.uint8).copy(), b"4"])
    pairs = read_bin(write_pickle(tmp_path, (images, form([True, False])), pickle.HIGHEST_PROTOCOL))
    assert pairs.images == [b"one", b"two", b"three", b"4"]
    assert pairs.same.tolist() == [True, False]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ([], "no InsightFace verification set"),
        ({"a": 1}, "no InsightFace verification set"),
        (b"text", "no InsightFace verification set"),
        ((b"text", [True]), "no InsightFace verification set"),
        (([], []), "0 images for 0 pairs"),
        ((encoded_images(3), [True]), "3 images for 1 pairs"),
        ((encoded_images(2), True), "2 images for no list of pairs"),
        ((encoded_images(2), np.bool_(True)), "2 images for no list of pairs"),
        ((encoded_images(2), np.array([[1]])), "pair 1: 'same' is no boolean"),
        ((encoded_images(4), [True, 2]), "pair 2: 'same' is no boolean"),
        ((encoded_images(2), [0.5]), "pair 1: 'same' is no boolean"),
        ((encoded_images(2), [np.zeros(3)]), "pair 1: 'same' is no boolean"),
        (([b"a", "b"], [True]), "image 2 is no encoded image"),
        (([b"a", np.zeros(3)], [True]), "image 2 is no encoded image"),
        (([np.zeros((2, 2, 3), np.uint8), b"a"], [True]), "image 1 is no encoded image"),
    ],
)
def test_wrong_content_is_named(tmp_path: Path, content: Any, problem: str) -> None:
    with pytest.raises(DataError, match=rf"set\.bin.*{problem}"):
        read_bin(write_pickle(tmp_path, content))


def test_empty_image_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="image 2 is no encoded image"):
        read_bin(write_pickle(tmp_path, ([b"a", b""], [True]), protocol=4))


def test_a_set_that_calls_something_is_refused_and_runs_nothing(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "ran"),)

    with pytest.raises(DataError, match=r"mkdir.*nothing was run"):
        read_bin(write_pickle(tmp_path, ([b"a", Evil()], [True])))
    assert not (tmp_path / "ran").exists()


def test_truncated_set(tmp_path: Path) -> None:
    path = write_pickle(tmp_path, (encoded_images(4), [True, False]))
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match=r"set\.bin cannot be read"):
        read_bin(path)


def test_written_set_is_what_other_programs_expect(tmp_path: Path) -> None:
    pairs = build_pair_set(Path("source"), [b"one", b"two"], [b"two", b"three"], [True, False], [1, 2])
    write_bin(pairs, tmp_path / "out.bin")
    assert pickle.loads((tmp_path / "out.bin").read_bytes()) == ([b"one", b"two", b"two", b"three"], [True, False])


def test_written_set_comes_back(shared: Path, tmp_path: Path) -> None:
    root = shared / "faces" / "cfp"
    pairs = read_csv(root / "pairs_ff.csv", root)
    write_bin(pairs, tmp_path / "out.bin")
    back = read_bin(tmp_path / "out.bin")
    assert [back.read(i) for i in back.first] == [pairs.read(i) for i in pairs.first]
    assert [back.read(i) for i in back.second] == [pairs.read(i) for i in pairs.second]
    assert back.same.tolist() == pairs.same.tolist()


def test_nothing_is_written_when_an_image_is_gone(tmp_path: Path) -> None:
    pairs = build_pair_set(Path("source"), [tmp_path / "gone.jpg"], [b"two"], [True], [1])
    with pytest.raises(DataError, match=r"gone\.jpg"):
        write_bin(pairs, tmp_path / "out.bin")
    assert list(tmp_path.iterdir()) == []
