"""Small models and face sets for the tests of the evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from facekd.data.face_set import FaceSet
from facekd.evaluation.types import Float32Array
from facekd.models.embedder import Embedder


class PixelEmbedder(Embedder):
    """Brightness of a small picture with its mean removed: about the simplest model that sees a likeness."""

    name, size, dimension, fingerprint = "pixels", 16, 256, "0" * 64

    def forward(self, crops: NDArray[np.uint8]) -> Float32Array:
        gray = crops.astype(np.float32).mean(axis=3).reshape(len(crops), -1)
        features: Float32Array = gray - gray.mean(axis=1, keepdims=True) + 1e-3
        return features


class MeanColors(Embedder):
    """Mean color of the left and of the right half: depends on the order of images, channels and columns.

    Args:
        batches: number of batches after which a keyboard interrupt stands in for a kill.

    Attributes:
        batch_sizes: lengths of the batches so far.
    """

    name, size, dimension, fingerprint = "mean colors", 8, 6, "0" * 64

    def __init__(self, batches: int = 10**9) -> None:
        self.batch_sizes: list[int] = []
        self._batches = batches

    def forward(self, crops: NDArray[np.uint8]) -> Float32Array:
        self.batch_sizes.append(len(crops))
        if len(self.batch_sizes) > self._batches:
            raise KeyboardInterrupt
        halves = crops[:, :, :4].mean((1, 2)), crops[:, :, 4:].mean((1, 2))
        return np.concatenate(halves, axis=1).astype(np.float32)


class MemoryFaces(FaceSet):
    """People in memory: one noise picture each, every image of a person the same with a little noise on top."""

    def __init__(self, identities: int, images: int, seed: int) -> None:
        generator = np.random.default_rng(seed)
        base = generator.integers(20, 235, (identities, 16, 16, 3))
        self.path = Path("memory")
        self.labels = np.repeat(np.arange(identities), images)
        self.class_names = [str(label) for label in range(identities)]
        noise = generator.integers(-15, 16, (len(self.labels), 16, 16, 3))
        self.crops = (base[self.labels] + noise).astype(np.uint8)

    def read(self, index: int) -> bytes:
        return cv2.imencode(".png", self.crops[index])[1].tobytes()

    def location(self, index: int) -> str:
        return f"memory {index}"


def unit_rows(rows: NDArray[np.floating[Any]]) -> Float32Array:
    """Rows of unit length, float32 [rows, dimension]."""
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)
