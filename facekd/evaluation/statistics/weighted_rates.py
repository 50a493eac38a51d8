"""Shares accepted at given numbers of false accepts, where items count as often as a resample holds them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def shares(genuine: NDArray[np.floating[Any]], genuine_weights: NDArray[np.integer[Any]],
           impostors: NDArray[np.floating[Any]], impostor_weights: NDArray[np.integer[Any]],
           limits: NDArray[np.int64]) -> Floats:
    """The largest share of the genuine items that any threshold accepts, with so few impostors accepted as well.

    An item is accepted when its score is above the threshold, so a genuine item at an impostor's very score is accepted
    only together with it.

    Args:
        genuine: [genuine], falling scores; minus infinity for an item that no threshold accepts.
        genuine_weights: [genuine], how often each counts.
        impostors: [impostors], falling; those further down may be left out where no limit reaches them.
        impostor_weights: [impostors], how often each counts.
        limits: int64 [limits], impostors that may be accepted.

    Returns:
        float64 [limits].
    """
    accepted = np.concatenate([[0], np.cumsum(genuine_weights, dtype=np.int64)])
    refused = np.searchsorted(np.cumsum(impostor_weights, dtype=np.int64), limits, "right")
    thresholds = np.append(impostors, -np.inf)[refused]
    shares: Floats = accepted[np.searchsorted(-genuine, -thresholds, "left")] / accepted[-1]
    return shares
