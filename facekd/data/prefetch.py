"""Load items in threads while a network processes earlier ones."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

PREFETCH_BATCHES = 3
"""Number of batches that are loaded in advance."""
MAX_THREADS = 4
"""Largest number of loading threads. Decoding releases the interpreter lock, so a few of them keep a network busy."""
T = TypeVar("T")


def prefetch(load: Callable[[int], T], count: int, batch_size: int) -> Iterator[list[T]]:
    """Load items 0 to ``count`` - 1 in threads, a few batches ahead of the consumer. One thread loads one batch.

    Args:
        load: a function that returns the item of an index; it is called from several threads.
        count: the number of items.
        batch_size: the number of items per batch; the last batch may be smaller.

    Yields:
        Batches of items in order. An exception of ``load`` is raised when its batch is due.
    """

    def load_batch(start: int) -> list[T]:
        """Load the batch that begins at item ``start``."""
        return [load(index) for index in range(start, min(start + batch_size, count))]

    pending: deque[Future[list[T]]] = deque()
    with ThreadPoolExecutor(min(MAX_THREADS, os.cpu_count() or 1)) as pool:
        for start in range(0, count, batch_size):
            pending.append(pool.submit(load_batch, start))
            if len(pending) > PREFETCH_BATCHES:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
