"""Embeddings of many images in a fixed order, independent of the file or folder that stores them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facekd.errors import DataError
from facekd.text import path_text, shorten

Features = NDArray[np.float32]
BLOCK_ROWS = 8192
"""Rows that are processed at once, so that a memory-mapped file of any length can be checked."""
MIN_ROW_NORM = 1e-12
"""A row whose length is not above this has no direction and is refused."""
UNIT_TOLERANCE = 1e-5
"""A row whose length differs from 1 by at most this is returned unchanged, bit for bit."""
_MAX_NAMED = 3


def rows_without_direction(norms: NDArray[np.floating[Any]]) -> NDArray[np.int64]:
    """Return the indices of the rows whose norm is not finite, or not above `MIN_ROW_NORM`."""
    return np.flatnonzero(~(np.isfinite(norms) & (norms > MIN_ROW_NORM)))


class FeatureSet(ABC):
    """Embeddings of one model, read in ranges of rows so that a gallery of any size fits. Reading is thread-safe.

    Attributes:
        path: the file or folder that stores the rows.
        dimension: the length of an embedding.
        labels: int64 [rows], the identity of each row; None where the files do not contain it.
        image_names: the image of each row, as a relative path with '/'; None where the files do not contain it.
    """

    path: Path
    dimension: int
    labels: NDArray[np.int64] | None = None
    image_names: Sequence[str] | None = None

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of rows."""

    @abstractmethod
    def read_rows(self, start: int, stop: int) -> Features:
        """Return rows ``start`` to ``stop`` as they are stored: float32 [stop - start, dimension].

        Raises:
            DataError: a row cannot be read; the message names its file.
        """

    def location(self, row: int) -> str:
        """Describe for a person where a row is stored."""
        return f"{self.path}, row {row}" + (f" ({self.image_names[row]})" if self.image_names else "")

    def l2_normalized_rows(self, start: int, stop: int) -> Features:
        """Return rows ``start`` to ``stop`` at unit length, so that the dot product is the cosine similarity.

        Returns:
            float32 [stop - start, dimension]. A row whose length is already 1 (see `UNIT_TOLERANCE`) is not changed.

        Raises:
            DataError: a row is zero, or contains NaN or an infinity.
        """
        rows = self.read_rows(start, stop)
        # Fast path: float32 sums of squares are within 5e-6 of the exact ones; float64 takes four times as long.
        if np.all(np.abs(np.einsum("ij,ij->i", rows, rows) - 1) <= UNIT_TOLERANCE):
            return rows
        norms = np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64))
        invalid = rows_without_direction(norms)
        if len(invalid):
            named = [self.location(start + row) for row in invalid[:_MAX_NAMED].tolist()]
            more = "; ..." if len(invalid) > _MAX_NAMED else ""
            raise DataError(
                f"{path_text(self.path)}: {len(invalid)} of the rows {start} to {stop - 1} are zero or not finite: "
                f"{'; '.join(map(path_text, named))}{more}; embed these images again or remove them"
            )
        divisors = np.where(np.abs(norms - 1) <= UNIT_TOLERANCE, 1.0, norms)
        return np.asarray(rows / divisors[:, None], np.float32)

    def all_l2_normalized_rows(self) -> Features:
        """Return all rows at unit length, in memory.

        Raises:
            DataError: as for `l2_normalized_rows`.
        """
        all_rows = np.empty((len(self), self.dimension), np.float32)
        for start in range(0, len(self), BLOCK_ROWS):
            stop = min(start + BLOCK_ROWS, len(self))
            all_rows[start:stop] = self.l2_normalized_rows(start, stop)
        return all_rows


class ArrayFeatures(FeatureSet):
    """Embeddings in an array, in memory or memory-mapped.

    Args:
        array: float [rows, dimension] of any float type, or int8. The scale of a row has no meaning.
        path: the name of the rows in error messages.
        labels: the identities of the rows; see `FeatureSet`.
        image_names: the images of the rows; see `FeatureSet`.

    Raises:
        DataError: the array has another type or shape, or labels or names have another length.
    """

    def __init__(
        self,
        array: NDArray[np.floating[Any] | np.int8],
        path: Path | str = "features",
        labels: NDArray[np.int64] | None = None,
        image_names: Sequence[str] | None = None,
    ) -> None:
        self.path = Path(path)
        self.labels = labels
        self.image_names = image_names
        self._array = array
        if array.ndim != 2 or not (array.dtype.kind == "f" or array.dtype == np.int8) or not array.size:
            raise DataError(f"{path_text(path)} holds {shorten(array.dtype, 40)} {array.shape}; features are floats or "
                            "int8 [rows, dimension]")
        self.dimension = array.shape[1]
        for kind, values in (("labels", labels), ("names", image_names)):
            if values is not None and len(values) != len(array):
                raise DataError(f"{path_text(path)} has {len(array):,} rows and {len(values):,} {kind}; write them "
                                "again together")

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._array)

    def read_rows(self, start: int, stop: int) -> Features:
        """See `FeatureSet.read_rows`."""
        return np.asarray(self._array[start:stop], np.float32)


class FeatureSubset(FeatureSet):
    """Some rows of a feature set.

    Args:
        features: the full set.
        rows: int64 [n], the rows of the full set, in the order of the subset.
    """

    def __init__(self, features: FeatureSet, rows: NDArray[np.int64]) -> None:
        self.features = features
        self.rows = rows
        self.path = features.path
        self.dimension = features.dimension
        self.labels = None if features.labels is None else features.labels[rows]
        names = features.image_names
        self.image_names = None if names is None else [names[row] for row in rows.tolist()]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.rows)

    def read_rows(self, start: int, stop: int) -> Features:
        """See `FeatureSet.read_rows`. Rows that are close together in the full set are read with one call."""
        rows = self.rows[start:stop]
        if not len(rows):
            return np.empty((0, self.dimension), np.float32)
        low = int(rows.min())
        high = int(rows.max()) + 1
        if high - low <= 2 * len(rows):
            return self.features.read_rows(low, high)[rows - low]
        return np.concatenate([self.features.read_rows(row, row + 1) for row in rows.tolist()])

    def location(self, row: int) -> str:
        """See `FeatureSet.location`."""
        return self.features.location(int(self.rows[row]))


class Int8Features(FeatureSet):
    """A feature set quantized to int8, row by row: round(127 x / max|x|).

    The scale of each row is discarded because cosine similarity does not depend on it. The cosine of two rows is their
    integer dot product divided by the product of their lengths.

    Args:
        features: the feature set to quantize.
    """

    def __init__(self, features: FeatureSet) -> None:
        self._features = features
        self.path = features.path
        self.dimension = features.dimension
        self.labels = features.labels
        self.image_names = features.image_names

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._features)

    def read_rows(self, start: int, stop: int) -> Features:
        """Return the quantized values as float32 [stop - start, dimension]."""
        rows = self._features.l2_normalized_rows(start, stop)
        return np.asarray(np.rint(rows * (127 / np.abs(rows).max(axis=1, keepdims=True))), np.float32)

    def location(self, row: int) -> str:
        """See `FeatureSet.location`."""
        return self._features.location(row)
