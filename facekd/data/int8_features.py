"""Features as a phone or a large gallery keeps them: int8, a quarter of the memory."""

from __future__ import annotations

import numpy as np

from facekd.data.featureset import Features, FeatureSet


class Int8Features(FeatureSet):
    """A feature set rounded to int8, row by row: round(127 x / max|x|).

    The scale of a row is no matter for the cosine similarity, so none is kept: a row stands for its direction, and the
    cosine of two rows is the integer dot product over their lengths.

    Args:
        whole: the features.
    """

    def __init__(self, whole: FeatureSet) -> None:
        self._whole, self.path, self.dimension = whole, whole.path, whole.dimension
        self.labels, self.names = whole.labels, whole.names

    def __len__(self) -> int:
        """Number of rows."""
        return len(self._whole)

    def block(self, start: int, stop: int) -> Features:
        """The whole numbers, as float32 [stop - start, dimension]."""
        rows = self._whole.unit(start, stop)
        return np.asarray(np.rint(rows * (127 / np.abs(rows).max(axis=1, keepdims=True))), np.float32)

    def where(self, row: int) -> str:
        """See `FeatureSet.where`."""
        return self._whole.where(row)
