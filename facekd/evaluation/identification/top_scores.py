"""The highest impostor scores of all: what true accept rates at small false accept rates hang on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from facekd.evaluation.identification.mates import Floats, Ints
from facekd.evaluation.identification.score_tiles import Singles


class Impostors:
    """The highest scores that were added, streamed: memory follows ``capacity``, not the number added.

    Args:
        capacity: at least so many are kept; ties and near ties at the end are kept as well.
        error: how far a score can lie from its exact value.

    Attributes:
        score: float32 [kept].
        probe: int32 [kept].
        distractor: int32 [kept].
        floor: lower scores are no longer taken.
    """

    def __init__(self, capacity: int, error: float) -> None:
        self.capacity, self.error, self.floor = max(1, capacity), error, -np.inf
        self.score: Singles = np.empty(0, np.float32)
        self.probe, self.distractor = np.empty(0, np.int32), np.empty(0, np.int32)
        self._added: list[tuple[Singles, NDArray[np.int32], NDArray[np.int32]]] = []
        self._waiting = 0

    def add(self, score: Singles, probe: NDArray[np.int32], distractor: NDArray[np.int32]) -> None:
        """Offer scores with their owners, arrays of one length."""
        high = score >= self.floor
        self._added.append((score[high], probe[high], distractor[high]))
        self._waiting += int(high.sum())
        if self._waiting > self.capacity:
            self.settle()

    def settle(self) -> None:
        """Take in what was added and let go of what is too low; before the attributes are read."""
        parts = [(self.score, self.probe, self.distractor), *self._added]
        self._added, self._waiting = [], 0
        self.score, self.probe, self.distractor = (np.concatenate(column) for column in zip(*parts, strict=True))
        if len(self.score) > self.capacity:
            last = len(self.score) - self.capacity
            # Two scores can change places when they are made exact if they are closer than twice the error.
            self.floor = float(np.partition(self.score, last)[last]) - 2 * self.error
            high = self.score >= self.floor
            self.score, self.probe, self.distractor = self.score[high], self.probe[high], self.distractor[high]

    def exact(self, k: int, scores: Callable[[Ints, Ints], Floats]) -> float | None:
        """The k-th highest score, exactly; None where fewer were kept.

        Args:
            k: counted from 1.
            scores: gives the exact scores of probes with distractors.
        """
        if k > len(self.score):
            return None
        last = len(self.score) - k
        about = float(np.partition(self.score, last)[last])
        low, high = about - 2 * self.error, about + 2 * self.error
        near = np.flatnonzero((self.score >= low) & (self.score <= high))
        above = int((self.score > high).sum())
        exact = scores(self.probe[near].astype(np.int64), self.distractor[near].astype(np.int64))
        return float(np.sort(exact)[::-1][k - 1 - above])
