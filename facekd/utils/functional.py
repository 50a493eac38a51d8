"""Directions: the one definition of a unit vector that heads and losses share."""

from __future__ import annotations

import torch
from torch import Tensor

NO_DIRECTION = 1e-6
"""A vector shorter than this has no direction: it is left as it is instead of being normalised."""


def unit(vectors: Tensor) -> Tensor:
    """Rows scaled to unit length.

    Args:
        vectors: float [rows, dimension]; values and gradients stay finite for zero rows.
    """
    norms = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
    return vectors / torch.where(norms > NO_DIRECTION, norms, 1.0)
