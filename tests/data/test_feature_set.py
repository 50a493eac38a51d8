from __future__ import annotations

import numpy as np
import pytest

from facekd.data.feature_set import ArrayFeatures, FeatureSet, FeatureSubset, Int8Features, rows_without_direction
from facekd.errors import DataError


def rows(count: int = 20, dimension: int = 6) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    return np.random.default_rng(0).normal(size=(count, dimension)).astype(np.float32)


def test_normalized_rows_are_the_rows_over_their_length() -> None:
    normalized = ArrayFeatures(rows()).l2_normalized_rows(3, 9)
    wide = rows()[3:9].astype(np.float64)
    assert normalized.dtype == np.float32
    assert normalized == pytest.approx(wide / np.linalg.norm(wide, axis=1, keepdims=True), abs=1e-7)


def test_rows_of_unit_length_are_left_as_they_are() -> None:
    unit = ArrayFeatures(rows()).all_l2_normalized_rows()
    again = ArrayFeatures(np.concatenate([unit, rows() * 3])).all_l2_normalized_rows()
    assert np.array_equal(again[:20], unit)


@pytest.mark.parametrize("kind", [np.float16, np.float64, np.int8])
def test_other_kinds_of_numbers_are_widened(kind: type) -> None:
    array = (rows() * 20).astype(kind)
    wide = array.astype(np.float64)
    expected = wide / np.linalg.norm(wide, axis=1, keepdims=True)
    assert ArrayFeatures(array).all_l2_normalized_rows() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("bad", [0.0, np.nan, np.inf])
def test_a_row_without_a_direction_is_named(bad: float) -> None:
    array = rows()
    array[7] = bad
    names = [f"person/{number}.jpg" for number in range(20)]
    with pytest.raises(DataError, match=r"gallery: 1 of the rows 5 to 9 .*: gallery, row 7 \(person/7.jpg\)"):
        ArrayFeatures(array, "gallery", image_names=names).l2_normalized_rows(5, 10)


def test_norms_without_a_direction_are_listed() -> None:
    norms = np.array([1.0, 0.0, np.nan, 1e-13, 1e-11, np.inf])
    assert rows_without_direction(norms).tolist() == [1, 2, 3, 5]


def test_labels_of_another_length_are_refused() -> None:
    with pytest.raises(DataError, match="20 rows and 3 labels"):
        ArrayFeatures(rows(), labels=np.arange(3))


def test_what_is_no_table_of_numbers_is_refused() -> None:
    with pytest.raises(DataError, match=r"holds int64 \(3, 3\)"):
        ArrayFeatures(np.eye(3, dtype=np.int64))  # type: ignore[arg-type]


@pytest.mark.parametrize("index", [[4, 5, 6], [19, 0, 7, 7], [0]])
def test_selected_rows_are_those_of_the_whole(index: list[int]) -> None:
    labels, names = np.arange(20), [str(number) for number in range(20)]
    features: FeatureSet = ArrayFeatures(rows(), "all", labels, names)
    subset = FeatureSubset(features, np.array(index))
    assert len(subset) == len(index)
    assert np.array_equal(subset.read_rows(0, len(index)), rows()[index])
    assert subset.labels is not None and subset.labels.tolist() == index
    assert subset.image_names == [str(number) for number in index]
    assert subset.location(0) == features.location(index[0])


def features_of_many_scales() -> ArrayFeatures:
    rows = np.random.default_rng(0).normal(size=(50, 512)) * np.geomspace(1e-3, 1e3, 50)[:, None]
    return ArrayFeatures(rows, labels=np.arange(50))


def test_rows_are_whole_numbers_up_to_127() -> None:
    rows = Int8Features(features_of_many_scales()).read_rows(0, 50)
    assert np.array_equal(rows, np.rint(rows))
    assert (np.abs(rows).max(axis=1) == 127).all()


def test_cosines_are_those_of_int8_arithmetic() -> None:
    rounded = Int8Features(features_of_many_scales())
    normalized = rounded.all_l2_normalized_rows()
    integers = rounded.read_rows(0, 50).astype(np.int64)
    lengths = np.sqrt((integers**2).sum(axis=1))
    assert normalized @ normalized.T == pytest.approx((integers @ integers.T) / np.outer(lengths, lengths), abs=1e-5)


def test_rounding_costs_little_of_a_cosine() -> None:
    features = features_of_many_scales()
    exact = features.all_l2_normalized_rows()
    rounded = Int8Features(features).all_l2_normalized_rows()
    assert np.abs(exact @ exact.T - rounded @ rounded.T).max() < 0.005


def test_labels_come_along() -> None:
    assert Int8Features(features_of_many_scales()).labels is not None
