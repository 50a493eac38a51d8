"""The one interface through which everything above asks a model for embeddings, be it torch or ONNX."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facekd.data.transforms import crop_of


def directions(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows at unit length, float32 [rows, dimension]; zeros and NaN stay as they are."""
    norms = np.linalg.norm(features, axis=1, keepdims=True)
    return np.asarray(features / np.maximum(norms, 1e-12), np.float32)


def pixels_of(crops: NDArray[np.uint8], raw: bool) -> NDArray[np.float32]:
    """Crops as a graph is fed them: float32 [batch, 3, size, size].

    Args:
        crops: uint8 [batch, size, size, 3], RGB.
        raw: 0 to 255 as they are, for a graph that scales inside; else (x - 127.5) / 127.5.
    """
    pixels = np.ascontiguousarray(crops.transpose(0, 3, 1, 2), np.float32)
    return pixels if raw else (pixels - np.float32(127.5)) / np.float32(127.5)


class Embedder(ABC):
    """A frozen face model.

    Attributes:
        name: how tables and reports call it.
        size: side in pixels of the square crops it takes.
        dimension: length of an embedding.
        fingerprint: hexadecimal SHA-256 of its weights; caches and results are keyed by it.
    """

    name: str
    size: int
    dimension: int
    fingerprint: str

    @abstractmethod
    def forward(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Raw embeddings of one view.

        Args:
            crops: uint8 [batch, size, size, 3], RGB.

        Returns:
            float32 [batch, dimension], not normalised.
        """

    def raw(self, crops: NDArray[np.uint8], flip: bool = True) -> NDArray[np.float32]:
        """Embeddings with the length the model gave them, which is small for poor images.

        Args:
            crops: uint8 [batch, size, size, 3], RGB.
            flip: sum the embeddings of image and mirror, as InsightFace's evaluators do.

        Returns:
            float32 [batch, dimension], not normalised.
        """
        features = self.forward(crops)
        return features + self.forward(np.ascontiguousarray(crops[:, :, ::-1])) if flip else features

    def embed(self, crops: NDArray[np.uint8], flip: bool = True) -> NDArray[np.float32]:
        """Embeddings ready for cosine similarity.

        Args:
            crops: uint8 [batch, size, size, 3], RGB.
            flip: sum the embeddings of image and mirror first.

        Returns:
            float32 [batch, dimension], rows of unit length.
        """
        return directions(self.raw(crops, flip))

    def __call__(self, faces: NDArray[np.uint8] | Sequence[Path | str], flip: bool = True) -> NDArray[np.float32]:
        """Embeddings of aligned crops, given as an array (see `embed`) or as image files of any square size.

        Raises:
            DataError: a file is no square image.
        """
        if not isinstance(faces, np.ndarray):
            faces = np.stack([crop_of(Path(f).read_bytes(), self.size, str(f)) for f in faces])
        return self.embed(faces, flip)
