"""A training set of noise in memory, for tests that need a loader but no particular images."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from facekd.data.image_set import ImageSet, Pixels
from facekd.data.loading.augmentation import Flip
from facekd.data.loading.loader import Loader


class Noise(ImageSet):
    """48 images of noise around the colors of 8 classes, 32 px."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.path = Path("noise")
        self.class_names = [str(number) for number in range(8)]
        self.labels = np.arange(48) // 6
        colors = rng.integers(60, 196, (8, 1, 1, 3))[self.labels]
        self._pixels = np.clip(colors + rng.normal(0, 30, (48, 32, 32, 3)), 0, 255).astype(np.uint8)

    def pixels(self, index: int) -> Pixels:
        return self._pixels[index]

    def stored_bytes(self, index: int) -> bytes:
        return self._pixels[index].tobytes()

    def location(self, index: int) -> str:
        return f"image {index}"


def noise_loader(batch_size: int = 8, rank: int = 0, world_size: int = 1) -> Loader:
    """A loader of these images."""
    return Loader(Noise(), 32, batch_size=batch_size, seed=0, augmentation=Flip(), rank=rank, world_size=world_size)
