from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from facekd.data.feature_set import ArrayFeatures
from facekd.data.megaface import feature_tree
from facekd.data.megaface.feature_bin import write_bin_feature
from facekd.data.megaface.feature_tree import TreeFeatures, WriteCounts, write_feature_tree
from facekd.errors import DataError, SetupError
from tests.held_lock import held_lock

NAMES = [f"{number % 7}/{number % 3}@N00/{number}.jpg" for number in range(300)]


def unit_features(rows: int = 300, dimension: int = 5) -> NDArray[np.float32]:
    raw = np.random.default_rng(rows).normal(size=(rows, dimension))
    unit: NDArray[np.float32] = (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)
    return unit


def parse_feature(file: Path) -> tuple[float, ...]:
    """Parse a feature file a second way, from the format's description."""
    data = file.read_bytes()
    rows, columns, stride, kind = struct.unpack("<iiii", data[:16])
    assert (columns, stride, kind) == (1, 4, 5)
    return struct.unpack(f"<{rows}f", data[16:])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Write a tree from the format's description alone, and return its root."""
    for name, row in zip(NAMES, unit_features(), strict=True):
        file = tmp_path / f"{name}_m.bin"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(struct.pack("<4i5f", 5, 1, 4, 5, *row))
    return tmp_path


def test_rows_come_in_the_order_of_the_list(root: Path) -> None:
    order = np.random.default_rng(1).permutation(300)
    features = TreeFeatures(root, [NAMES[row] for row in order], "_m.bin")
    assert (len(features), features.dimension) == (300, 5)
    assert np.array_equal(features.read_rows(0, 300), unit_features()[order])
    assert np.array_equal(features.read_rows(7, 19), unit_features()[order[7:19]])
    assert features.read_rows(0, 300).dtype == np.float32


def test_missing_files_are_counted_and_five_named(root: Path) -> None:
    absent = [f"none/{number}.jpg" for number in range(6)]
    with pytest.raises(DataError) as caught:
        TreeFeatures(root, [*NAMES, *absent], "_m.bin")
    named = ", ".join(f"{name}_m.bin" for name in absent[:5])
    assert f"6 of 306 feature files do not exist below {root}: {named}, ...;" in str(caught.value)


def test_another_suffix_matches_nothing(root: Path) -> None:
    with pytest.raises(DataError, match=r"300 of 300 .* the suffix \(now '_facekd\.bin'\)"):
        TreeFeatures(root, NAMES)


def test_a_truncated_file_is_found_when_the_tree_opens(root: Path) -> None:
    file = root / f"{NAMES[123]}_m.bin"
    file.write_bytes(file.read_bytes()[:-2])
    with pytest.raises(DataError, match=f"{file} is cut short: 34 bytes, 5 numbers need 36"):
        TreeFeatures(root, NAMES, "_m.bin")


def test_mixed_dimensions_are_named_with_both_files(root: Path) -> None:
    for row in (200, 250):
        (root / f"{NAMES[row]}_m.bin").write_bytes(struct.pack("<4i4f", 4, 1, 4, 5, *range(4)))
    with pytest.raises(DataError) as caught:
        TreeFeatures(root, NAMES, "_m.bin")
    message = f"{root}/{NAMES[200]}_m.bin holds 4 numbers, {root}/{NAMES[0]}_m.bin 5; 2 of 300 files are not like the"
    assert str(caught.value).startswith(message)


def test_a_wrong_header_is_found_when_the_file_is_read(root: Path) -> None:
    file = root / f"{NAMES[299]}_m.bin"
    file.write_bytes(struct.pack("<4i5f", 5, 1, 4, 4, *range(5)))
    features = TreeFeatures(root, NAMES, "_m.bin")
    with pytest.raises(DataError, match=rf"{file} begins with \(5, 1, 4, 4\)"):
        features.read_rows(0, 300)


def test_a_file_that_grows_or_goes_meanwhile_is_found(root: Path) -> None:
    features = TreeFeatures(root, NAMES, "_m.bin")
    grown = root / f"{NAMES[1]}_m.bin"
    gone = root / f"{NAMES[2]}_m.bin"
    grown.write_bytes(grown.read_bytes() + b"\0")
    gone.unlink()
    with pytest.raises(DataError, match=f"{grown} is too long"):
        features.read_rows(1, 2)
    with pytest.raises(DataError, match=f"{gone} (cannot be read|does not exist)"):
        features.read_rows(2, 3)


@pytest.mark.parametrize("value", [0.0, float("nan"), float("inf")])
def test_a_row_without_a_direction_is_named_by_its_file(root: Path, value: float) -> None:
    file = root / f"{NAMES[4]}_m.bin"
    file.write_bytes(struct.pack("<4i5f", 5, 1, 4, 5, value, 0, 0, 0, 0))
    with pytest.raises(DataError, match=f"1 of the rows 0 to 299 are zero or not finite: {file};"):
        TreeFeatures(root, NAMES, "_m.bin").l2_normalized_rows(0, 300)


def test_repeated_paths_are_refused(root: Path) -> None:
    with pytest.raises(DataError, match="1 paths come more than once in the list of features"):
        TreeFeatures(root, [*NAMES, NAMES[3]], "_m.bin")


def test_no_paths_are_refused(root: Path) -> None:
    with pytest.raises(DataError, match=r"the list of features below .* is empty"):
        TreeFeatures(root, [], "_m.bin")


def test_a_tree_is_written_as_the_description_says(tmp_path: Path) -> None:
    counts = write_feature_tree(ArrayFeatures(unit_features(), image_names=NAMES), tmp_path, "_m.bin")
    assert counts == WriteCounts(300, 0)
    rows = [parse_feature(tmp_path / f"{name}_m.bin") for name in NAMES]
    assert np.array_equal(np.array(rows, np.float32), unit_features())
    assert sum(path.is_file() for path in tmp_path.rglob("*")) == 300


def test_rows_are_written_at_unit_length(tmp_path: Path) -> None:
    write_feature_tree(ArrayFeatures(7 * unit_features(3), image_names=NAMES[:3]), tmp_path)
    rows = TreeFeatures(tmp_path, NAMES[:3]).read_rows(0, 3)
    np.testing.assert_allclose(rows, unit_features(3), atol=1e-7)


def test_an_unfinished_tree_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    features = ArrayFeatures(unit_features(), image_names=NAMES)
    calls: list[Path] = []

    def fail_after_40_files(path: Path, row: NDArray[np.float32]) -> bool:
        calls.append(path)
        if len(calls) > 40:
            raise SetupError("full")
        return write_bin_feature(path, row)

    with monkeypatch.context() as patch, pytest.raises(SetupError, match="full"):
        patch.setattr(feature_tree, "write_bin_feature", fail_after_40_files)
        write_feature_tree(features, tmp_path)
    assert write_feature_tree(features, tmp_path) == WriteCounts(260, 40)
    assert np.array_equal(TreeFeatures(tmp_path, NAMES).read_rows(0, 300), unit_features())


def test_files_of_another_model_are_replaced(tmp_path: Path) -> None:
    write_feature_tree(ArrayFeatures(-unit_features(), image_names=NAMES), tmp_path)
    assert write_feature_tree(ArrayFeatures(unit_features(), image_names=NAMES), tmp_path) == WriteCounts(300, 0)


def test_a_tree_needs_names(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no image names"):
        write_feature_tree(ArrayFeatures(unit_features()), tmp_path)


def test_names_that_lead_out_of_the_tree_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="lead upwards"):
        write_feature_tree(ArrayFeatures(unit_features(1), image_names=["../x.jpg"]), tmp_path / "tree")
    assert list(tmp_path.iterdir()) == []


def test_a_file_where_a_folder_should_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "0").touch()
    with pytest.raises(SetupError, match="cannot be written"):
        write_feature_tree(ArrayFeatures(unit_features(1), image_names=NAMES[:1]), tmp_path)


def test_the_kits_own_lists_go_to_a_tree_and_back(shared: Path, tmp_path: Path) -> None:
    lists = shared / "megaface" / "templatelists"
    names = json.loads((lists / "megaface_features_list.json_1000_1").read_text())["path"]
    write_feature_tree(ArrayFeatures(unit_features(1000), image_names=names), tmp_path, "_m.bin")
    assert np.array_equal(TreeFeatures(tmp_path, names, "_m.bin").all_l2_normalized_rows(), unit_features(1000))


def test_a_tree_that_another_process_writes_is_left_alone(tmp_path: Path) -> None:
    features = ArrayFeatures(unit_features(1), image_names=NAMES[:1])
    with held_lock(tmp_path / "tree"), pytest.raises(SetupError, match=r"tree is being written by process"):
        write_feature_tree(features, tmp_path / "tree")
    assert not (tmp_path / "tree").exists()


@pytest.mark.parametrize("suffix", ["/../../x", "a/b", "..\\x", "a\0b", "x" * 101])
def test_a_suffix_that_leads_out_of_a_folder_is_refused(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(DataError, match="is no end of a file name"):
        write_feature_tree(ArrayFeatures(unit_features(1), image_names=NAMES[:1]), tmp_path / "tree", suffix)
    with pytest.raises(DataError, match="is no end of a file name"):
        TreeFeatures(tmp_path, NAMES[:1], suffix)
    assert list(tmp_path.iterdir()) == []
