"""Array types and the interval type that all evaluation modules share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]
Int32Array = NDArray[np.int32]
FloatArray = NDArray[np.float64]
Float32Array = NDArray[np.float32]

Interval = tuple[float, float]
"""Lower and upper end of a 95 % interval."""
