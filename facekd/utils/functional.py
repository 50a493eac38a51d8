"""L2 normalization, for torch and for NumPy."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

MIN_NORM = 1e-6
"""`l2_normalize` leaves a vector that is not longer than this as it is, because it has no direction."""

EPSILON = 1e-12
"""`l2_normalize_rows` divides by this where a norm is smaller."""


def l2_normalize(vectors: Tensor) -> Tensor:
    """Scale rows to unit length; rows of a norm up to `MIN_NORM` stay as they are.

    Args:
        vectors: float [rows, dimension]; values and gradients stay finite for zero rows.
    """
    norms = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
    return vectors / torch.where(norms > MIN_NORM, norms, 1.0)


Rows = TypeVar("Rows", NDArray[np.float32], NDArray[np.float64])


def l2_normalize_rows(rows: Rows) -> Rows:
    """Scale rows to unit length, in the precision of the input; zero rows stay zero, and NaN stays NaN.

    Args:
        rows: float32 or float64 [rows, dimension].
    """
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(norms, EPSILON), rows.dtype)
