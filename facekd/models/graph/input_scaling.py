"""The scaling of pixels at the beginning of a foreign graph, moved to where our networks have theirs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facekd.models.graph.description import INPUT, Node

MAX_SCALED_RANGE = 16.0
"""A graph takes pixels from 0 to 255 if its scaling maps 255 to a range of at most this length."""
TOLERANCE = 1e-6


class InputScaling:
    """The affine function of the input that a graph computes before its first layer.

    Args:
        raw_pixels: whether the graph takes pixels from 0 to 255, not from -1 to 1; None: by its scaling.
    """

    def __init__(self, raw_pixels: bool | None) -> None:
        self._raw_pixels = raw_pixels
        self._factor: NDArray[np.float64] = np.ones(1)
        self._summand: NDArray[np.float64] = np.zeros(1)

    def follow(self, factor: NDArray[np.float64], summand: NDArray[np.float64]) -> None:
        """Apply one more step, ``x * factor + summand``, with one value or one for each channel."""
        self._factor = self._factor * factor
        self._summand = self._summand * factor + summand

    @property
    def takes_raw_pixels(self) -> bool:
        """Whether the graph takes pixels from 0 to 255."""
        if self._raw_pixels is not None:
            return self._raw_pixels
        return bool(np.all(np.abs(self._factor) * 255 <= MAX_SCALED_RANGE))

    def apply(self, nodes: Sequence[Node], weights: Mapping[str, NDArray[Any]]
              ) -> tuple[Sequence[Node], Mapping[str, NDArray[Any]]]:
        """Return nodes and weights that take pixels scaled to ``(x - 127.5) / 127.5``.

        A factor alone is multiplied into the convolutions that take the image. A summand remains a layer of its own,
        because a convolution pads with zeros after it.
        """
        factor, summand = self._factor, self._summand
        if self.takes_raw_pixels:
            factor, summand = factor * 127.5, summand + factor * 127.5
        factor, summand = np.broadcast_to(factor, 3), np.broadcast_to(summand, 3)
        readers = [node for node in nodes if INPUT in node.inputs]
        if np.all(np.abs(summand) < TOLERANCE) and all(node.layer == "convolution" for node in readers):
            scaled = {f"{node.name}.weight": weights[f"{node.name}.weight"] * factor.reshape(1, 3, 1, 1)
                      for node in readers}
            return nodes, {**weights, **scaled}
        scaling = Node("scaling", "affine", (INPUT,), {"channels": 3})
        renamed = [replace(node, inputs=tuple("scaling" if name == INPUT else name for name in node.inputs))
                   for node in nodes]
        return [scaling, *renamed], {**weights, "scaling.weight": factor, "scaling.bias": summand}
