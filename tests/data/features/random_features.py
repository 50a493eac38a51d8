"""Random features for the tests of feature files."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def unit_features(rows: int = 10, dimension: int = 8) -> NDArray[np.float32]:
    """Return random float32 rows of length 1."""
    raw = np.random.default_rng(0).normal(size=(rows, dimension))
    unit: NDArray[np.float32] = (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)
    return unit
