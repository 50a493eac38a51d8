"""How near the embeddings of a file are to those of the network it was made from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Cosines:
    """Cosine similarity between the embeddings two models give the same faces: mean and minimum over ``images``."""

    mean: float
    minimum: float
    images: int


def cosines(ours: NDArray[np.floating], theirs: NDArray[np.floating]) -> Cosines:
    """Cosine similarity, row by row, of two sets of embeddings [images, dimension]."""
    values = (normalise(ours) * normalise(theirs)).sum(axis=1)
    return Cosines(float(values.mean()), float(values.min()), len(values))


def normalise(features: NDArray[np.floating]) -> NDArray[np.float64]:
    """Rows of unit length, in float64."""
    rows = features.astype(np.float64)
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12))
