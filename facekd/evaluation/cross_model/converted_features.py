"""Features that a map converts as they are read."""

from __future__ import annotations

import numpy as np

from facekd.data.feature_set import Features, FeatureSet
from facekd.evaluation.cross_model.feature_map import FeatureMap


class ConvertedFeatures(FeatureSet):
    """The rows of a feature set of the old model as a map converts them, at unit length.

    Args:
        features: the feature set.
        feature_map: the map; its old model has as many numbers a row as the features.
    """

    def __init__(self, features: FeatureSet, feature_map: FeatureMap) -> None:
        self._features = features
        self._map = feature_map
        self.path = features.path
        self.dimension = feature_map.facts.new.dimension
        self.labels = features.labels
        self.image_names = features.image_names

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._features)

    def read_rows(self, start: int, stop: int) -> Features:
        """See `FeatureSet.read_rows`.

        Raises:
            DataError: a row is zero or not finite.
        """
        return np.asarray(self._map.convert(self._features.l2_normalized_rows(start, stop)), np.float32)

    def location(self, row: int) -> str:
        """See `FeatureSet.location`."""
        return self._features.location(row)
