"""How far the embeddings of two models lie apart: what decides whether an exported file may be kept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from facekd.models.onnx_embedder import OnnxEmbedder
from facekd.models.registry import Network

BATCHES = (1, 2, 7)
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Parity:
    """Largest absolute difference between L2-normalised embeddings of a network and of the file made from it.

    Attributes:
        noise: the difference on seeded random input, by batch size.
        crops: the difference on given faces, None where none were given.
    """

    noise: dict[int, float]
    crops: float | None

    @property
    def worst(self) -> float:
        """The largest of them; NaN where an output was not finite."""
        return float(np.max([*self.noise.values(), *([] if self.crops is None else [self.crops])]))


@dataclass(frozen=True)
class Cosines:
    """Cosine similarity between the embeddings two models give the same faces: mean and minimum over ``images``."""

    mean: float
    minimum: float
    images: int


def normalise(features: NDArray[np.floating]) -> NDArray[np.float64]:
    """Rows of unit length, in float64."""
    rows = features.astype(np.float64)
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12))


def difference(ours: NDArray[np.floating], theirs: NDArray[np.floating]) -> float:
    """Largest absolute difference between two sets of embeddings [images, dimension] after L2 normalisation."""
    return float(np.abs(normalise(ours) - normalise(theirs)).max())


def cosines(ours: NDArray[np.floating], theirs: NDArray[np.floating]) -> Cosines:
    """Cosine similarity, row by row, of two sets of embeddings [images, dimension]."""
    values = (normalise(ours) * normalise(theirs)).sum(axis=1)
    return Cosines(float(values.mean()), float(values.min()), len(values))


def compare(model: Network, exported: OnnxEmbedder, crops: NDArray[np.uint8] | None = None) -> Parity:
    """Ask both for the same embeddings, at several batch sizes so that a batch frozen into the graph shows.

    Args:
        model: the network, in eval mode on the CPU.
        exported: the file made from it.
        crops: uint8 [images, size, size, 3] RGB, faces to compare on as well.

    Returns:
        The differences at batch 1, 2 and 7 on uniform random pixels and, where given, on the crops.

    Raises:
        ModelError: the file cannot run one of these batches.
    """
    noise = np.random.default_rng(0).integers(0, 256, (max(BATCHES), exported.size, exported.size, 3), dtype=np.uint8)
    return Parity(
        noise={count: _gap(model, exported, noise[-count:]) for count in BATCHES},
        crops=None if crops is None else _gap(model, exported, crops),
    )


@torch.inference_mode()
def _gap(model: Network, exported: OnnxEmbedder, crops: NDArray[np.uint8]) -> float:
    pixels = exported.preprocess(crops)
    expected = [model(torch.from_numpy(part)).numpy() for part in np.array_split(pixels, -(-len(pixels) // 64))]
    return difference(np.concatenate(expected), exported.forward(crops))
