"""A training set in memory, for tests that need a loader and care for no picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from facekd.data.image_set import ImageSet, Pixels
from facekd.data.loading.augmentation import Flip
from facekd.data.loading.loader import Loader


class Noise(ImageSet):
    """48 images of noise around the colours of 8 classes, 32 px."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.path, self.names, self.labels = Path("noise"), [str(c) for c in range(8)], np.arange(48) // 6
        colours = rng.integers(60, 196, (8, 1, 1, 3))[self.labels]
        self._pixels = np.clip(colours + rng.normal(0, 30, (48, 32, 32, 3)), 0, 255).astype(np.uint8)

    def pixels(self, index: int) -> Pixels:
        return self._pixels[index]

    def content(self, index: int) -> bytes:
        return self._pixels[index].tobytes()

    def where(self, index: int) -> str:
        return f"image {index}"


def noise(batch: int = 8, place: tuple[int, int] = (0, 1)) -> Loader:
    return Loader(Noise(), 32, batch, 0, Flip(), place=place)
