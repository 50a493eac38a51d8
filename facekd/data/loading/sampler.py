"""Which images make the batches of an epoch: all of them shuffled, or as many of each person."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from facekd.errors import DataError


def check_balance(labels: NDArray[np.int64], batch: int, each: int) -> None:
    """Refuse batches that cannot hold ``each`` images of so many people.

    Args:
        labels: int64 [images].
        batch: images a batch.
        each: images of a person in it.

    Raises:
        DataError: the batch is no multiple of ``each``, or there are too few people.
    """
    people = len(np.unique(labels))
    if batch % each:
        raise DataError(
            f"a batch of {batch} images cannot hold {each} of each person; set schedule.batch to a multiple of "
            f"data.images_each={each}"
        )
    if people < batch // each:
        raise DataError(
            f"the training set has {people} people, a batch of {batch} with {each} images each needs {batch // each}; "
            "set schedule.batch lower or data.images_each higher"
        )


def balanced(labels: NDArray[np.int64], steps: int, batch: int, each: int, random: np.random.Generator
             ) -> NDArray[np.int64]:
    """Batches of ``each`` images of ``batch / each`` different people.

    People are shuffled again and again, so that all come about as often, whether they have two images or five hundred.
    Each time a person comes, the next of their images in a shuffled circle are shown; who has fewer than ``each`` is
    shown with repeats.

    Args:
        labels: int64 [images].
        steps: batches.
        batch: images a batch.
        each: images of a person in it; see `check_balance`.
        random: draws everything.

    Returns:
        int64 [steps * batch], positions in the set, the images of a person side by side.
    """
    members = np.lexsort((random.random(len(labels)), labels))  # by person, and shuffled within
    _, first, count = np.unique(labels[members], return_index=True, return_counts=True)
    together = batch // each
    whole = len(first) // together  # batches until people are shuffled anew; who is left over is so by chance
    rounds = -(-steps // whole)
    people = np.stack([random.permutation(len(first))[: whole * together] for _ in range(rounds)])
    begin = np.arange(rounds)[:, None, None] * each
    turn = (begin + np.arange(each)) % count[people][:, :, None]
    chosen: NDArray[np.int64] = members[first[people][:, :, None] + turn]
    return chosen.reshape(-1)[: steps * batch]
