"""The highest scores of a stream of (row, column) pairs; thresholds at very low FARs need only these."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from facekd.evaluation.types import Float32Array, FloatArray, Int32Array, IntArray


class TopScores:
    """The highest scores of a stream; the memory depends on ``capacity``, not on the length of the stream.

    Args:
        capacity: number of scores to keep at least; scores equal or almost equal to the lowest one are kept as well.
        error: largest distance of a score from its exact value.
        floor: lower scores are not kept.

    Attributes:
        scores: float32 [kept], in no order.
        rows: int32 [kept], the row of each score.
        columns: int32 [kept], the column of each score.
        floor: lower scores are no longer accepted; it rises when scores are dropped.
    """

    def __init__(self, capacity: int, error: float = 0.0, floor: float = -np.inf) -> None:
        self.capacity = max(1, capacity)
        self.error = error
        self.floor = floor
        self.scores: Float32Array = np.empty(0, np.float32)
        self.rows: Int32Array = np.empty(0, np.int32)
        self.columns: Int32Array = np.empty(0, np.int32)
        self._pending: list[tuple[Float32Array, Int32Array, Int32Array]] = []
        self._num_pending = 0

    def add(self, scores: Float32Array, rows: Int32Array, columns: Int32Array) -> None:
        """Add scores with their rows and columns, arrays of one length."""
        high = scores >= self.floor
        self._pending.append((scores[high], rows[high], columns[high]))
        self._num_pending += int(high.sum())
        # Selecting costs time proportional to the number of scores, so it waits until as many are new as are kept.
        if self._num_pending > self.capacity:
            self.compact()

    def compact(self) -> None:
        """Merge the scores that were added and drop the lowest ones; call it before the attributes are read."""
        parts = [(self.scores, self.rows, self.columns), *self._pending]
        self._pending = []
        self._num_pending = 0
        self.scores, self.rows, self.columns = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        if len(self.scores) > self.capacity:
            cut = len(self.scores) - self.capacity
            # Two scores can be in the wrong order only if they are closer than twice the error.
            self.floor = float(np.partition(self.scores, cut)[cut]) - 2 * self.error
            high = self.scores >= self.floor
            self.scores = self.scores[high]
            self.rows = self.rows[high]
            self.columns = self.columns[high]

    def kth_exact_score(self, k: int, exact_scores: Callable[[IntArray, IntArray], FloatArray]) -> float | None:
        """Return the k-th highest score, exactly; None if fewer than k were kept.

        Args:
            k: rank of the score, from 1.
            exact_scores: compute float64 scores from int64 rows and columns.
        """
        if k > len(self.scores):
            return None
        position = len(self.scores) - k
        approximate = float(np.partition(self.scores, position)[position])
        # The k-th score that is kept and the k-th exact one differ by at most the error. So scores farther than twice
        # the error from it are on the right side already; the rest is sorted by exact scores.
        low = approximate - 2 * self.error
        high = approximate + 2 * self.error
        near = np.flatnonzero((self.scores >= low) & (self.scores <= high))
        above = int((self.scores > high).sum())
        exact = exact_scores(self.rows[near].astype(np.int64), self.columns[near].astype(np.int64))
        return float(np.sort(exact)[::-1][k - 1 - above])
