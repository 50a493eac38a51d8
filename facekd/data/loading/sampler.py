"""The order of class-balanced batches, which contain the same number of images of each of their classes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from facekd.errors import DataError


def check_balanced_batch(labels: NDArray[np.int64], batch_size: int, samples_per_class: int) -> None:
    """Refuse batches that cannot contain ``samples_per_class`` images of each of their classes.

    Args:
        labels: int64 [images].
        batch_size: the number of images per batch.
        samples_per_class: the number of images per class in a batch.

    Raises:
        DataError: the batch size is not a multiple of ``samples_per_class``, or the set has too few classes.
    """
    num_classes = len(np.unique(labels))
    batch_classes = batch_size // samples_per_class
    if batch_size % samples_per_class:
        raise DataError(
            f"a batch of {batch_size} images cannot hold {samples_per_class} of each class; set training.batch_size "
            f"to a multiple of data.samples_per_class={samples_per_class}"
        )
    if num_classes < batch_classes:
        raise DataError(
            f"the training set has {num_classes} classes, a batch of {batch_size} with {samples_per_class} images each "
            f"needs {batch_classes}; set training.batch_size lower or data.samples_per_class higher"
        )


def balanced_order(labels: NDArray[np.int64], num_batches: int, batch_size: int, samples_per_class: int,
                   generator: np.random.Generator) -> NDArray[np.int64]:
    """Draw batches of ``samples_per_class`` images from each of ``batch_size / samples_per_class`` different classes.

    Classes are shuffled again after each pass over them, so that all classes occur about equally often, whether they
    have two images or five hundred. The images of a class are shuffled once; each time the class occurs, its next
    images are taken, cyclically. A class with fewer than ``samples_per_class`` images is shown with repeats.

    Args:
        labels: int64 [images].
        num_batches: the number of batches.
        batch_size: the number of images per batch.
        samples_per_class: the number of images per class in a batch; see `check_balanced_batch`.
        generator: the source of all randomness.

    Returns:
        int64 [num_batches * batch_size], indices in the set; the images of a class are adjacent.
    """
    members = np.lexsort((generator.random(len(labels)), labels))  # grouped by class, shuffled within each class
    _, first, count = np.unique(labels[members], return_index=True, return_counts=True)
    batch_classes = batch_size // samples_per_class
    # Classes are shuffled after each round. Those that do not fill a batch at the end of a round are left out of it.
    round_batches = len(first) // batch_classes
    num_rounds = -(-num_batches // round_batches)
    round_classes = np.stack([generator.permutation(len(first))[: round_batches * batch_classes]
                              for _ in range(num_rounds)])
    # In round r a class shows its images r * samples_per_class, r * samples_per_class + 1, ..., modulo their number.
    begin = np.arange(num_rounds)[:, None, None] * samples_per_class
    position = (begin + np.arange(samples_per_class)) % count[round_classes][:, :, None]
    order: NDArray[np.int64] = members[first[round_classes][:, :, None] + position]
    return order.reshape(-1)[: num_batches * batch_size]
