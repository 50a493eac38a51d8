from __future__ import annotations

import numpy as np
import pytest

from facekd.data.feature_set import ArrayFeatures
from facekd.errors import DataError
from facekd.evaluation.cross_model.converted_features import ConvertedFeatures
from facekd.evaluation.cross_model.feature_map import FeatureMap
from tests.evaluation.cross_model.test_feature_map import FACTS, MATRIX

ROWS = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)


@pytest.fixture
def feature_map() -> FeatureMap:
    return FeatureMap(MATRIX, np.array([0.5, -1], np.float32), FACTS)


def test_rows_are_converted_as_they_are_read(feature_map: FeatureMap) -> None:
    features = ConvertedFeatures(ArrayFeatures(ROWS, labels=np.arange(5), image_names=list("abcde")), feature_map)
    assert (len(features), features.dimension, features.labels is not None) == (5, 2, True)
    assert features.read_rows(1, 3) == pytest.approx(feature_map.convert(ROWS[1:3]))
    assert features.location(2) == "features, row 2 (c)"


def test_a_row_without_direction_is_refused(feature_map: FeatureMap) -> None:
    rows = ROWS.copy()
    rows[2] = 0
    with pytest.raises(DataError, match="row 2"):
        ConvertedFeatures(ArrayFeatures(rows), feature_map).read_rows(0, 5)
