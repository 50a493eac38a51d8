"""The scaling of pixels at the beginning of a foreign graph, moved to where our networks have theirs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facekd.errors import ModelError
from facekd.models.graph.description import INPUT, Node
from facekd.models.input_format import PIXELS, InputFormat
from facekd.text import path_text

TOLERANCE = 1e-6


class InputScaling:
    """The affine function of the input that a graph computes before its first layer.

    Args:
        input_format: how the graph is fed.
        path: the file of the graph, for messages.
    """

    def __init__(self, input_format: InputFormat, path: Path) -> None:
        self._format = input_format
        self._path = path
        self._factor: NDArray[np.float64] = np.ones(1)
        self._summand: NDArray[np.float64] = np.zeros(1)

    def follow(self, factor: NDArray[np.float64], summand: NDArray[np.float64]) -> None:
        """Apply one more step, ``x * factor + summand``, with one value or one for each channel."""
        self._factor = self._factor * factor
        self._summand = self._summand * factor + summand

    def apply(self, nodes: Sequence[Node], weights: Mapping[str, NDArray[Any]]
              ) -> tuple[Sequence[Node], Mapping[str, NDArray[Any]]]:
        """Return nodes and weights that take RGB pixels scaled to ``(x - 127.5) / 127.5``.

        A factor alone is multiplied into the convolutions that take the image. A summand remains a layer of its own,
        because a convolution pads with zeros after it.

        Raises:
            ModelError: the graph takes BGR, and its first layer is no convolution.
        """
        order = slice(None, None, -1 if self._format.channels == "bgr" else 1)
        mean, std = (np.array(values)[order] for values in PIXELS[self._format.pixels])
        factor = np.broadcast_to(self._factor * 127.5 / std, 3)[order]
        summand = np.broadcast_to(self._summand + self._factor * (127.5 - mean) / std, 3)[order]
        readers = [node for node in nodes if INPUT in node.inputs]
        kernels = {f"{node.name}.weight": weights[f"{node.name}.weight"][:, order]
                   for node in readers if node.layer == "convolution"}
        if len(kernels) < len(readers) and self._format.channels == "bgr":
            raise ModelError(f"{path_text(self._path)} takes BGR, and its first layer is no convolution that could "
                             "take RGB instead; use the file as a teacher only")
        if np.all(np.abs(summand) < TOLERANCE) and len(kernels) == len(readers):
            return nodes, {**weights, **{name: kernel * factor.reshape(1, 3, 1, 1) for name, kernel in kernels.items()}}
        scaling = Node("scaling", "affine", (INPUT,), {"channels": 3})
        renamed = [replace(node, inputs=tuple("scaling" if name == INPUT else name for name in node.inputs))
                   for node in nodes]
        return [scaling, *renamed], {**weights, **kernels, "scaling.weight": factor, "scaling.bias": summand}
