"""The feature set: embeddings of many images in a fixed order, whatever file or tree they lie in."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facekd.errors import DataError

Features = NDArray[np.float32]
ROWS = 8192
"""Rows looked at in one go, so that a memory-mapped file of any length can be checked."""


class FeatureSet(ABC):
    """Features of one model, read a stretch at a time, so that a gallery of any size fits; safe to read from threads.

    Attributes:
        path: the file or folder they lie in.
        dimension: length of a feature.
        labels: int64 [rows], the identity of each row; None where the files do not say.
        names: the image each row was computed from, as a relative path with '/'; None where the files do not say.
    """

    path: Path
    dimension: int
    labels: NDArray[np.int64] | None = None
    names: Sequence[str] | None = None

    @abstractmethod
    def __len__(self) -> int:
        """Number of rows."""

    @abstractmethod
    def block(self, start: int, stop: int) -> Features:
        """Rows ``start`` to ``stop`` as they are stored: float32 [stop - start, dimension].

        Raises:
            DataError: a row cannot be read; the message names its file.
        """

    def where(self, row: int) -> str:
        """Where a person finds a row, for errors."""
        return f"{self.path}, row {row}" + (f" ({self.names[row]})" if self.names else "")

    def unit(self, start: int, stop: int) -> Features:
        """Rows of unit length, which makes the dot product the cosine similarity.

        Returns:
            float32 [stop - start, dimension]: a row whose length is 1 (to 1e-5) as it is, another one normalised.

        Raises:
            DataError: a row is zero, or holds NaN or an infinity.
        """
        rows = self.block(start, stop)
        if np.all(np.abs(np.einsum("ij,ij->i", rows, rows) - 1) <= 1e-5):  # within 5e-6; float64 costs four times that
            return rows
        norms = np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64))
        bad = np.flatnonzero(~(np.isfinite(norms) & (norms > 1e-12)))
        if len(bad):
            shown = "; ".join(self.where(start + row) for row in bad[:5].tolist()) + ("; ..." if len(bad) > 5 else "")
            raise DataError(
                f"{self.path}: {len(bad)} of the rows {start} to {stop - 1} are zero or not finite: {shown}; "
                "embed these images again or remove them"
            )
        return np.asarray(rows / np.where(np.abs(norms - 1) <= 1e-5, 1.0, norms)[:, None], np.float32)

    def all(self) -> Features:
        """All rows at unit length, in memory.

        Raises:
            DataError: as ``unit``.
        """
        whole = np.empty((len(self), self.dimension), np.float32)
        for start in range(0, len(self), ROWS):
            whole[start : start + ROWS] = self.unit(start, min(start + ROWS, len(self)))
        return whole


class ArrayFeatures(FeatureSet):
    """Features in an array, in memory or memory-mapped.

    Args:
        array: float [rows, dimension], any float type, or int8, whose scale is no matter: rows are directions.
        path: what they are called in errors.
        labels: as `FeatureSet`.
        names: as `FeatureSet`.

    Raises:
        DataError: no array of that kind, or labels or names of another length.
    """

    def __init__(self, array: NDArray[np.floating[Any] | np.int8], path: Path | str = "features",
                 labels: NDArray[np.int64] | None = None, names: Sequence[str] | None = None) -> None:
        self.path, self._array, self.labels, self.names = Path(path), array, labels, names
        if array.ndim != 2 or not (array.dtype.kind == "f" or array.dtype == np.int8) or not array.size:
            raise DataError(f"{path} holds {array.dtype} {array.shape}; features are floats or int8 [rows, dimension]")
        self.dimension = array.shape[1]
        for what, given in (("labels", labels), ("names", names)):
            if given is not None and len(given) != len(array):
                raise DataError(f"{path} has {len(array)} rows and {len(given)} {what}; write them again together")

    def __len__(self) -> int:
        """Number of rows."""
        return len(self._array)

    def block(self, start: int, stop: int) -> Features:
        """See `FeatureSet.block`."""
        return np.asarray(self._array[start:stop], np.float32)


class SelectedFeatures(FeatureSet):
    """Some rows of a feature set.

    Args:
        whole: the set.
        index: int64 [rows], which of its rows, in the order they shall have here.
    """

    def __init__(self, whole: FeatureSet, index: NDArray[np.int64]) -> None:
        self.whole, self.index, self.path, self.dimension = whole, index, whole.path, whole.dimension
        self.labels = None if whole.labels is None else whole.labels[index]
        self.names = None if whole.names is None else [whole.names[row] for row in index.tolist()]

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.index)

    def block(self, start: int, stop: int) -> Features:
        """See `FeatureSet.block`; neighbours in the whole set are read together."""
        index = self.index[start:stop]
        if not len(index):
            return np.empty((0, self.dimension), np.float32)
        low, high = int(index.min()), int(index.max()) + 1
        if high - low <= 2 * len(index):
            return self.whole.block(low, high)[index - low]
        return np.concatenate([self.whole.block(row, row + 1) for row in index.tolist()])

    def where(self, row: int) -> str:
        """See `FeatureSet.where`."""
        return self.whole.where(int(self.index[row]))


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
