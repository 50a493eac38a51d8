from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from facekd.data.feature_set import FeatureSet
from facekd.data.features.opening import check_feature_path, open_features, write_features
from facekd.data.megaface.feature_tree import TreeFeatures
from facekd.errors import DataError, SetupError
from tests.data.features.random_features import unit_features
from tests.held_lock import held_lock

NAMES = [f"p{number // 2}/{number}.jpg" for number in range(10)]


def anonymous_memory() -> int:
    """Return the memory of this process, in bytes, that is not backed by a file."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(next(line.split()[1] for line in status.splitlines() if line.startswith("RssAnon")))


def test_features_labels_and_names_come_back(tmp_path: Path) -> None:
    write_features(tmp_path / "f.v1.npy", unit_features(), np.arange(10) // 2, NAMES)
    features = open_features(tmp_path / "f.v1.npy")
    assert np.array_equal(features.read_rows(0, 10), unit_features())
    assert features.labels is not None and features.labels.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert features.image_names == NAMES
    assert sorted(path.name for path in tmp_path.iterdir()) == ["f.v1.labels.npy", "f.v1.names.txt", "f.v1.npy"]


def test_odd_names_come_back(tmp_path: Path) -> None:
    names = ["a b/\u2028.jpg", "\u00e9\r", "\udcff"]
    write_features(tmp_path / "f.npy", unit_features(3), names=names)
    assert open_features(tmp_path / "f.npy").image_names == names


def test_a_line_break_in_a_name_is_refused_and_nothing_is_lost(tmp_path: Path) -> None:
    write_features(tmp_path / "f.npy", unit_features(), names=NAMES)
    with pytest.raises(DataError, match=r"1 images have a line break in their name, e\.g\. 'a\\nb'"):
        write_features(tmp_path / "f.npy", unit_features(2), names=["a", "a\nb"])
    assert open_features(tmp_path / "f.npy").image_names == NAMES


def test_writing_without_labels_removes_the_old_sidecars(tmp_path: Path) -> None:
    write_features(tmp_path / "f.npy", unit_features(), np.arange(10), NAMES)
    (tmp_path / "f.json").write_text("{}")
    write_features(tmp_path / "f.npy", unit_features(4))
    assert [path.name for path in tmp_path.iterdir()] == ["f.npy"]


@pytest.mark.parametrize("kind", ["float16", "float32", "float64", ">f4"])
def test_arrays_of_all_types_are_read(tmp_path: Path, kind: str) -> None:
    raw = (unit_features() * 5).astype(kind)
    np.save(tmp_path / "f.npy", raw)
    features = open_features(tmp_path / "f.npy")
    assert features.read_rows(2, 9).dtype == np.float32
    assert np.array_equal(features.read_rows(2, 9), raw[2:9].astype(np.float32))
    wide = raw.astype(np.float64)
    expected = wide / np.linalg.norm(wide, axis=1, keepdims=True)
    assert features.all_l2_normalized_rows() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("kind", ["npy", "safetensors"])
def test_files_are_memory_mapped(tmp_path: Path, kind: str) -> None:
    size = 64 << 20
    rows = np.zeros((size // 2048, 1024), np.float16)
    if kind == "npy":
        np.save(tmp_path / "f.npy", rows)
    else:
        save_file({"features": torch.from_numpy(rows)}, tmp_path / "f.safetensors")
    del rows
    before = anonymous_memory()
    features = open_features(tmp_path / f"f.{kind}")
    features.read_rows(1000, 1100)
    assert anonymous_memory() - before < size / 4


@pytest.mark.parametrize("cut", [0, 5, 100, 200])
@pytest.mark.parametrize("kind", ["npy", "safetensors"])
def test_a_truncated_file_is_refused(tmp_path: Path, kind: str, cut: int) -> None:
    file = tmp_path / f"f.{kind}"
    if kind == "npy":
        np.save(file, unit_features())
    else:
        save_file({"features": torch.from_numpy(unit_features())}, file)
    file.write_bytes(file.read_bytes()[:cut])
    with pytest.raises(DataError, match=rf"f\.{kind} (cannot be read|is no readable)"):
        open_features(file)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (np.ones(4, np.float32), "features are floats"),
        (np.ones((4, 2), np.int64), "features are floats"),
        (np.ones((0, 2), np.float32), "features are floats"),
        (np.array([{"a": 1}], object), "it holds Python objects"),
    ],
)
def test_other_arrays_are_refused(tmp_path: Path, content: NDArray[np.generic], message: str) -> None:
    np.save(tmp_path / "f.npy", content, allow_pickle=True)
    with pytest.raises(DataError, match=message):
        open_features(tmp_path / "f.npy")


def test_an_archive_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "f.npz", a=unit_features())
    (tmp_path / "f.npz").rename(tmp_path / "f.npy")
    with pytest.raises(DataError, match=r"f\.npy cannot be read"):
        open_features(tmp_path / "f.npy")


def test_labels_of_another_length_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "f.npy", unit_features())
    np.save(tmp_path / "f.labels.npy", np.arange(9))
    with pytest.raises(DataError, match=r"f\.labels\.npy holds int64 \(9,\); f\.npy needs whole numbers \(10,\)"):
        open_features(tmp_path / "f.npy")


def test_names_of_another_number_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "f.npy", unit_features())
    (tmp_path / "f.names.txt").write_text("a\nb\n")
    with pytest.raises(DataError, match=r"f\.names\.txt holds 2 names, f\.npy 10 rows"):
        open_features(tmp_path / "f.npy")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"f\.npy does not exist"):
        open_features(tmp_path / "f.npy")


def test_another_extension_is_refused(tmp_path: Path) -> None:
    (tmp_path / "f.bin").touch()
    with pytest.raises(DataError, match=r"f\.bin is no folder and ends neither in \.npy nor in \.safetensors"):
        open_features(tmp_path / "f.bin")
    with pytest.raises(DataError, match=r"ends in \.npy"):
        write_features(tmp_path / "f.bin", unit_features())


def open_three_rows_by_name(tmp_path: Path) -> FeatureSet:
    write_features(tmp_path / "f.npy", unit_features(), np.arange(10) // 2, NAMES)
    return open_features(tmp_path / "f.npy", [NAMES[7], NAMES[2], NAMES[3]])


def test_a_list_chooses_rows_by_name(tmp_path: Path) -> None:
    features = open_three_rows_by_name(tmp_path)
    assert np.array_equal(features.read_rows(0, 3), unit_features()[[7, 2, 3]])
    assert features.labels is not None and features.labels.tolist() == [3, 1, 1]
    assert features.image_names == [NAMES[7], NAMES[2], NAMES[3]]


def test_names_that_have_no_row_are_counted_and_named(tmp_path: Path) -> None:
    open_three_rows_by_name(tmp_path)
    with pytest.raises(DataError, match=r"2 of the 3 paths listed have no row in .*f\.npy: x, y;"):
        open_features(tmp_path / "f.npy", ["x", NAMES[0], "y"])


def test_rows_without_names_are_assumed_to_be_in_the_order_of_the_list(tmp_path: Path) -> None:
    write_features(tmp_path / "f.npy", unit_features())
    assert open_features(tmp_path / "f.npy", NAMES).image_names == NAMES
    with pytest.raises(DataError, match=r"f\.npy has 10 rows without names, the list has 9 paths"):
        open_features(tmp_path / "f.npy", NAMES[:9])


def test_a_list_that_repeats_itself_is_refused(tmp_path: Path) -> None:
    open_three_rows_by_name(tmp_path)
    with pytest.raises(DataError, match="come more than once in the list"):
        open_features(tmp_path / "f.npy", [NAMES[0], NAMES[0]])


def test_repeated_names_in_the_names_file_are_refused(tmp_path: Path) -> None:
    write_features(tmp_path / "f.npy", unit_features(2), names=["a", "a"])
    with pytest.raises(DataError, match=r"come more than once in .*f\.names\.txt"):
        open_features(tmp_path / "f.npy", ["a"])


def test_a_folder_is_a_tree(tmp_path: Path) -> None:
    for name, row in zip(NAMES, unit_features(), strict=True):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}_m.bin").write_bytes(struct.pack("<4i8f", 8, 1, 4, 5, *row))
    everything, some = (open_features(tmp_path, names, "_m.bin") for names in (None, NAMES[3:5]))
    assert isinstance(everything, TreeFeatures) and everything.image_names == NAMES
    assert np.array_equal(everything.all_l2_normalized_rows(), unit_features())
    assert np.array_equal(some.all_l2_normalized_rows(), unit_features()[3:5])


@pytest.mark.parametrize("header", [
    b"{'descr': (", b"{'descr': '<f4', 'fortran_order': False, 'shape': (4, 29233720368547758078), }", b"x" * 60,
    b"{'descr': '|O', 'fortran_order': False, 'shape': (1, 1), }", b"\xff" * 20,
    b"{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 2), }", b"(" * 200,
])
@pytest.mark.parametrize("name", ["f.npy", "f.labels.npy"])
def test_a_damaged_header_is_one_sentence(tmp_path: Path, header: bytes, name: str) -> None:
    """NumPy raises TokenError, SyntaxError, OverflowError and others."""
    np.save(tmp_path / "f.npy", unit_features())
    (tmp_path / name).write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(64))
    with pytest.raises(DataError) as caught:
        open_features(tmp_path / "f.npy")
    message = str(caught.value).replace(str(tmp_path), "")
    assert name in message and len(message) < 300 and "\n" not in message


@pytest.mark.parametrize("content", [
    b"", b"\xff" * 64, struct.pack("<Q", 1 << 62), struct.pack("<Q", 20) + b'{"a":' * 4,
    struct.pack("<Q", 90) + b'{"f":{"dtype":"F32","shape":[1099511627776,1099511627776],'
    b'"data_offsets":[0,8]}}'.ljust(34),
])
def test_a_damaged_safetensors_file_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "f.safetensors").write_bytes(content)
    with pytest.raises(DataError, match=r"f\.safetensors cannot be read as safetensors .*; write it again"):
        open_features(tmp_path / "f.safetensors")


def test_a_path_that_no_file_can_have_is_refused() -> None:
    with pytest.raises(DataError, match="does not exist"):
        open_features("a" * 300 + ".npy")


def test_a_folder_in_the_way_is_refused_before_the_work(tmp_path: Path) -> None:
    for name in ("a.npy", "b.labels.npy", "c.json"):
        (tmp_path / name).mkdir()
        with pytest.raises(SetupError, match="is a folder"):
            check_feature_path(tmp_path / f"{name[0]}.npy")


def test_features_that_another_process_writes_are_left_alone(tmp_path: Path) -> None:
    write_features(tmp_path / "f.npy", unit_features())
    with held_lock(tmp_path / "f.npy"), pytest.raises(SetupError, match="is being written by process"):
        write_features(tmp_path / "f.npy", -unit_features())
    assert np.array_equal(open_features(tmp_path / "f.npy").read_rows(0, 10), unit_features())
