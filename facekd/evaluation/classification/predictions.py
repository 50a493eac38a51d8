"""Rank, confidence and likelihood of every image from its logits, in blocks, so that ImageNet fits into memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facekd.evaluation.types import FloatArray, IntArray

BLOCK_ROWS = 8192
"""Images computed at a time."""
Logits = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Predictions:
    """Figures of every image.

    Attributes:
        rank: int64 [images], number of classes ranked above the true one; of equal logits the lower class is above.
        confidence: float64 [images], the largest probability.
        nll: float64 [images], -log p(true class), in nats.
    """

    rank: IntArray
    confidence: FloatArray
    nll: FloatArray


def measure_predictions(logits: Logits, labels: IntArray) -> Predictions:
    """Compute rank, confidence and negative log-likelihood of every image.

    Args:
        logits: float [images, classes], finite.
        labels: int64 [images].
    """
    predictions = Predictions(np.empty(len(labels), np.int64), np.empty(len(labels)), np.empty(len(labels)))
    for rows in _row_blocks(len(labels)):
        values = logits[rows]
        true_class = labels[rows, None]
        true_logit = np.take_along_axis(values, true_class, axis=1)
        log_probabilities = log_softmax(values)
        tied_before = (values == true_logit) & (np.arange(values.shape[1]) < true_class)
        predictions.rank[rows] = ((values > true_logit) | tied_before).sum(axis=1)
        predictions.confidence[rows] = np.exp(log_probabilities.max(axis=1))
        predictions.nll[rows] = -np.take_along_axis(log_probabilities, true_class, axis=1)[:, 0]
    return predictions


def teacher_agreement(logits: Logits, teacher_logits: Logits) -> tuple[float, float]:
    """Measure how closely a model follows its teacher.

    Args:
        logits: float [images, classes] of the model, finite.
        teacher_logits: float [images, classes] of the teacher, finite.

    Returns:
        Share of the images with the same predicted class, and the mean KL(teacher || model) in nats.
    """
    same_class = 0
    divergence = 0.0
    for rows in _row_blocks(len(logits)):
        same_class += int((logits[rows].argmax(axis=1) == teacher_logits[rows].argmax(axis=1)).sum())
        teacher_log = log_softmax(teacher_logits[rows])
        divergence += float((np.exp(teacher_log) * (teacher_log - log_softmax(logits[rows]))).sum())
    return same_class / len(logits), divergence / len(logits)


def log_softmax(logits: Logits) -> FloatArray:
    """Compute the logarithms of the probabilities, float64 [images, classes]."""
    values = logits.astype(np.float64)
    values -= values.max(axis=1, keepdims=True)
    log_probabilities: FloatArray = values - np.log(np.exp(values).sum(axis=1, keepdims=True))
    return log_probabilities


def _row_blocks(count: int) -> Iterator[slice]:
    return (slice(start, start + BLOCK_ROWS) for start in range(0, count, BLOCK_ROWS))
