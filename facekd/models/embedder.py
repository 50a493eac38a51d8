"""The interface through which models give embeddings, independent of the runtime."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facekd.data.transforms import decode_crop
from facekd.utils.functional import l2_normalize_rows


class Embedder(ABC):
    """A frozen face model.

    Attributes:
        name: the name in tables and reports.
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
        """Compute embeddings of crops as they are, without their mirror images.

        Args:
            crops: uint8 [batch, size, size, 3], RGB.

        Returns:
            float32 [batch, dimension], not normalized.
        """

    def input_facts(self) -> dict[str, Any]:
        """Return how the model is fed, JSON-able, for results; empty if only one way exists."""
        return {}

    def fed_otherwise(self) -> dict[str, Embedder]:
        """Return the model fed in the other ways that are possible, by the value of ``--pixels``; usually none."""
        return {}

    def embed(
        self, crops: NDArray[np.uint8], flip: bool = True, *, normalize: bool = True
    ) -> NDArray[np.float32]:
        """Compute embeddings, by default for cosine similarity.

        Args:
            crops: uint8 [batch, size, size, 3], RGB.
            flip: whether to sum the embeddings of image and mirror image, as InsightFace's evaluators do.
            normalize: whether to scale embeddings to unit length. Their original length is a measure of image
                quality: it is small for poor images.

        Returns:
            float32 [batch, dimension].
        """
        features = self.forward(crops)
        if flip:
            features = features + self.forward(np.ascontiguousarray(crops[:, :, ::-1]))
        return l2_normalize_rows(features) if normalize else features

    def __call__(self, faces: NDArray[np.uint8] | Sequence[Path | str], flip: bool = True) -> NDArray[np.float32]:
        """Compute unit-length embeddings of aligned crops, an array (see `embed`) or image files of any square size.

        Raises:
            DataError: a file is not a square image.
        """
        if not isinstance(faces, np.ndarray):
            faces = np.stack([decode_crop(Path(f).read_bytes(), self.size, str(f)) for f in faces])
        return self.embed(faces, flip)
