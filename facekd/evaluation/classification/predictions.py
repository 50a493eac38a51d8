"""What a classifier's logits say of each image; rows are looked at in blocks, so that ImageNet fits into memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROWS = 8192
"""Images looked at in one go."""
Logits = NDArray[np.floating[Any]]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Predictions:
    """Figures of every image.

    Attributes:
        rank: int64 [images], number of classes ahead of the true one; of equal logits the lower class number is ahead.
        confidence: float64 [images], the largest probability.
        nll: float64 [images], -log p(true class), in nats.
    """

    rank: NDArray[np.int64]
    confidence: Floats
    nll: Floats


def look(logits: Logits, labels: NDArray[np.int64]) -> Predictions:
    """Rank, confidence and likelihood.

    Args:
        logits: float [images, classes], finite.
        labels: int64 [images].
    """
    found = Predictions(np.empty(len(labels), np.int64), np.empty(len(labels)), np.empty(len(labels)))
    for rows in _blocks(len(labels)):
        values, own = logits[rows], labels[rows, None]
        said, logs = np.take_along_axis(values, own, axis=1), log_softmax(values)
        tied_before = (values == said) & (np.arange(values.shape[1]) < own)
        found.rank[rows] = ((values > said) | tied_before).sum(axis=1)
        found.confidence[rows] = np.exp(logs.max(axis=1))
        found.nll[rows] = -np.take_along_axis(logs, own, axis=1)[:, 0]
    return found


def follow(logits: Logits, teacher: Logits) -> tuple[float, float]:
    """How closely a model follows its teacher.

    Args:
        logits: float [images, classes] of the model, finite.
        teacher: float [images, classes] of the teacher, finite.

    Returns:
        Share of the images on which both put the same class first, and the mean KL(teacher || model) in nats.
    """
    agreeing, divergence = 0, 0.0
    for rows in _blocks(len(logits)):
        agreeing += int((logits[rows].argmax(axis=1) == teacher[rows].argmax(axis=1)).sum())
        wanted = log_softmax(teacher[rows])
        divergence += float((np.exp(wanted) * (wanted - log_softmax(logits[rows]))).sum())
    return agreeing / len(logits), divergence / len(logits)


def log_softmax(logits: Logits) -> Floats:
    """Logarithms of the probabilities, float64 [images, classes]."""
    values = logits.astype(np.float64)
    values -= values.max(axis=1, keepdims=True)
    logs: Floats = values - np.log(np.exp(values).sum(axis=1, keepdims=True))
    return logs


def _blocks(count: int) -> Iterator[slice]:
    return (slice(start, start + ROWS) for start in range(0, count, ROWS))
