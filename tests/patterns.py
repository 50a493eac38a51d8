"""Synthetic people that are color patterns, and a model that sees these patterns; tests plant wrong labels in them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facekd.data import cv2
from facekd.io import files
from facekd.models.embedder import Embedder

GRID = 8
"""Side of a pattern in pixels."""


class PatternEmbedder(Embedder):
    """Uses the pixels of a crop as its embedding."""

    name = "patterns"
    size = GRID
    dimension = GRID * GRID * 3
    fingerprint = "0" * 64

    def forward(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.asarray(crops.reshape(len(crops), -1), np.float32) - np.float32(127.5)


class PatternPainter:
    """Writes images of people; each image is the pattern of a person with noise.

    Args:
        folder: the folder of the face set.
        people: the number of people.
        seed: the seed of patterns and noise.
    """

    def __init__(self, folder: Path, people: int, seed: int = 0) -> None:
        self.folder = folder
        self._rng = np.random.default_rng(seed)
        self.patterns = self._rng.integers(60, 196, (people, GRID, GRID, 3))

    def paint(self, pattern: int, person: str, name: str) -> None:
        """Write an image of pattern number ``pattern`` as ``person/name.png``."""
        image = np.clip(self._rng.normal(self.patterns[pattern], 40), 0, 255).astype(np.uint8)
        files.write_bytes(self.folder / person / f"{name}.png", cv2.imencode(".png", image)[1].tobytes())
