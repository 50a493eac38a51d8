from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from facekd.data.feature_set import FeatureSet
from facekd.data.features.opening import open_features, write_features
from facekd.data.megaface.feature_tree import TreeFeatures
from facekd.errors import DataError

NAMES = [f"p{number // 2}/{number}.jpg" for number in range(10)]


def unit_features(rows: int = 10) -> NDArray[np.float32]:
    raw = np.random.default_rng(0).normal(size=(rows, 8))
    unit: NDArray[np.float32] = (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)
    return unit


def anonymous_memory() -> int:
    """Memory of this process in bytes that no file backs."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(next(line.split()[1] for line in status.splitlines() if line.startswith("RssAnon")))


def test_features_labels_and_names_come_back(tmp_path: Path) -> None:
    write_features(tmp_path / "f.v1.npy", unit_features(), np.arange(10) // 2, NAMES)
    found = open_features(tmp_path / "f.v1.npy")
    assert np.array_equal(found.block(0, 10), unit_features())
    assert found.labels is not None and found.labels.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert found.names == NAMES
    assert sorted(path.name for path in tmp_path.iterdir()) == ["f.v1.labels.npy", "f.v1.names.txt", "f.v1.npy"]


def test_odd_names_come_back(tmp_path: Path) -> None:
    names = ["a b/\u2028.jpg", "\u00e9\r", "\udcff"]
    write_features(tmp_path / "f.npy", unit_features(3), names=names)
    assert open_features(tmp_path / "f.npy").names == names


def test_a_line_break_in_a_name_is_refused_and_nothing_is_lost(tmp_path: Path) -> None:
    write_features(tmp_path / "f.npy", unit_features(), names=NAMES)
    with pytest.raises(DataError, match=r"1 images have a line break in their name, e\.g\. 'a\\nb'"):
        write_features(tmp_path / "f.npy", unit_features(2), names=["a", "a\nb"])
    assert open_features(tmp_path / "f.npy").names == NAMES


def test_writing_without_labels_removes_what_lay_beside(tmp_path: Path) -> None:
    write_features(tmp_path / "f.npy", unit_features(), np.arange(10), NAMES)
    (tmp_path / "f.json").write_text("{}")
    write_features(tmp_path / "f.npy", unit_features(4))
    assert [path.name for path in tmp_path.iterdir()] == ["f.npy"]


@pytest.mark.parametrize("kind", ["float16", "float32", "float64", ">f4"])
def test_arrays_of_all_types_are_read(tmp_path: Path, kind: str) -> None:
    raw = (unit_features() * 5).astype(kind)
    np.save(tmp_path / "f.npy", raw)
    found = open_features(tmp_path / "f.npy")
    assert found.block(2, 9).dtype == np.float32
    assert np.array_equal(found.block(2, 9), raw[2:9].astype(np.float32))
    wide = raw.astype(np.float64)
    assert found.all() == pytest.approx(wide / np.linalg.norm(wide, axis=1, keepdims=True), abs=1e-6)


@pytest.mark.parametrize("kind", [torch.float16, torch.float32, torch.float64, torch.bfloat16, torch.int8])
def test_tensors_of_all_types_are_read(tmp_path: Path, kind: torch.dtype) -> None:
    raw = torch.from_numpy(unit_features() * 100).to(kind)
    save_file({"features": raw, "labels": torch.arange(10, dtype=torch.int32), "other": torch.ones(3, 3)},
              tmp_path / "f.safetensors")
    found = open_features(tmp_path / "f.safetensors")
    assert found.block(2, 9).dtype == np.float32
    assert np.array_equal(found.block(2, 9), raw[2:9].float().numpy())
    assert found.labels is not None and found.labels.tolist() == list(range(10))


def by_hand(header: dict[str, object], data: bytes) -> bytes:
    """A safetensors file made from the format's description."""
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def test_the_only_matrix_of_a_file_made_by_hand_is_read(tmp_path: Path) -> None:
    values = unit_features(3).astype("<f2")
    header: dict[str, object] = {"emb": {"dtype": "F16", "shape": [3, 8], "data_offsets": [0, 48]}}
    (tmp_path / "f.safetensors").write_bytes(by_hand(header, values.tobytes()))
    (tmp_path / "f.names.txt").write_text("a\nb\nc\n")
    found = open_features(tmp_path / "f.safetensors")
    assert np.array_equal(found.block(0, 3), values.astype(np.float32))
    assert found.names == ["a", "b", "c"]


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
    found = open_features(tmp_path / f"f.{kind}")
    found.block(1000, 1100)
    assert anonymous_memory() - before < size / 4


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"a": torch.ones(2, 2), "b": torch.ones(3, 2)}, r"it holds a float32 \[2, 2\], b float32 \[3, 2\]"),
        ({"features": torch.ones(4)}, r"it holds features float32 \[4\]"),
        ({"features": torch.ones(4, 2, dtype=torch.int16)}, r"it holds features int16 \[4, 2\]"),
        ({"features": torch.ones(4, 2), "labels": torch.ones(4, dtype=torch.bfloat16)}, "needs whole numbers"),
        ({"features": torch.ones(4, 2), "labels": torch.ones(3, dtype=torch.int64)}, r"holds int64 \(3,\); f\.safe"),
    ],
)
def test_other_tensors_are_refused(tmp_path: Path, tensors: dict[str, torch.Tensor], message: str) -> None:
    save_file(tensors, tmp_path / "f.safetensors")
    with pytest.raises(DataError, match=message):
        open_features(tmp_path / "f.safetensors")


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
        (np.array([{"a": 1}], object), "cannot be read as a NumPy array"),
    ],
)
def test_other_arrays_are_refused(tmp_path: Path, content: NDArray[np.generic], message: str) -> None:
    np.save(tmp_path / "f.npy", content, allow_pickle=True)
    with pytest.raises(DataError, match=message):
        open_features(tmp_path / "f.npy")


def test_an_archive_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "f.npz", a=unit_features())
    (tmp_path / "f.npz").rename(tmp_path / "f.npy")
    with pytest.raises(DataError, match="archive"):
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


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"f\.npy does not exist"):
        open_features(tmp_path / "f.npy")


def test_another_ending_is_refused(tmp_path: Path) -> None:
    (tmp_path / "f.bin").touch()
    with pytest.raises(DataError, match=r"f\.bin is no folder and ends neither in \.npy nor in \.safetensors"):
        open_features(tmp_path / "f.bin")
    with pytest.raises(DataError, match=r"ends in \.npy"):
        write_features(tmp_path / "f.bin", unit_features())


def named(tmp_path: Path) -> FeatureSet:
    write_features(tmp_path / "f.npy", unit_features(), np.arange(10) // 2, NAMES)
    return open_features(tmp_path / "f.npy", [NAMES[7], NAMES[2], NAMES[3]])


def test_a_list_chooses_rows_by_name(tmp_path: Path) -> None:
    found = named(tmp_path)
    assert np.array_equal(found.block(0, 3), unit_features()[[7, 2, 3]])
    assert found.labels is not None and found.labels.tolist() == [3, 1, 1]
    assert found.names == [NAMES[7], NAMES[2], NAMES[3]]


def test_names_that_have_no_row_are_counted_and_named(tmp_path: Path) -> None:
    named(tmp_path)
    with pytest.raises(DataError, match=r"2 of the 3 paths listed have no row in .*f\.npy: x, y;"):
        open_features(tmp_path / "f.npy", ["x", NAMES[0], "y"])


def test_rows_without_names_are_taken_to_be_in_the_lists_order(tmp_path: Path) -> None:
    write_features(tmp_path / "f.npy", unit_features())
    assert open_features(tmp_path / "f.npy", NAMES).names == NAMES
    with pytest.raises(DataError, match=r"f\.npy has 10 rows and does not name them, the list has 9 paths"):
        open_features(tmp_path / "f.npy", NAMES[:9])


def test_a_list_that_repeats_itself_is_refused(tmp_path: Path) -> None:
    named(tmp_path)
    with pytest.raises(DataError, match="come more than once in the list"):
        open_features(tmp_path / "f.npy", [NAMES[0], NAMES[0]])


def test_names_that_stand_twice_beside_the_features_are_refused(tmp_path: Path) -> None:
    write_features(tmp_path / "f.npy", unit_features(2), names=["a", "a"])
    with pytest.raises(DataError, match=r"come more than once in .*f\.names\.txt"):
        open_features(tmp_path / "f.npy", ["a"])


def test_a_folder_is_a_tree(tmp_path: Path) -> None:
    for name, row in zip(NAMES, unit_features(), strict=True):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}_m.bin").write_bytes(struct.pack("<4i8f", 8, 1, 4, 5, *row))
    whole, some = (open_features(tmp_path, names, "_m.bin") for names in (None, NAMES[3:5]))
    assert isinstance(whole, TreeFeatures) and whole.names == NAMES
    assert np.array_equal(whole.all(), unit_features())
    assert np.array_equal(some.all(), unit_features()[3:5])
