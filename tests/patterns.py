"""People who are patterns of colours, and a model that sees nothing else: wrong labels can be planted among them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facekd.data import cv2
from facekd.models.embedder import Embedder
from facekd.utils import files

GRID = 8
"""Side of a pattern in pixels."""


class Patterns(Embedder):
    """Sees a crop as a grid of colours."""

    name, size, dimension, fingerprint = "patterns", GRID, GRID * GRID * 3, "0" * 64

    def forward(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.asarray(crops.reshape(len(crops), -1), np.float32) - np.float32(127.5)


class Painter:
    """Writes images of people, each a pattern seen through noise.

    Args:
        folder: of the set.
        people: number of them.
        seed: of patterns and noise.
    """

    def __init__(self, folder: Path, people: int, seed: int = 0) -> None:
        self.folder, self._rng = folder, np.random.default_rng(seed)
        self.patterns = self._rng.integers(60, 196, (people, GRID, GRID, 3))

    def paint(self, shown: int, person: str, name: str) -> None:
        """An image of ``shown`` as ``person/name.png``."""
        image = np.clip(self._rng.normal(self.patterns[shown], 40), 0, 255).astype(np.uint8)
        files.write_bytes(self.folder / person / f"{name}.png", cv2.imencode(".png", image)[1].tobytes())
