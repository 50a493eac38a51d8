"""Load items in threads while a network processes earlier ones."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from facekd.utils.environment import usable_cores

PREFETCH_BATCHES = 3
"""Number of batches that are loaded in advance."""
MAX_THREADS = 4
"""Largest number of loading threads. Decoding releases the interpreter lock, so a few of them keep a network busy."""
T = TypeVar("T")


def prefetch(load: Callable[[int], T], count: int, batch_size: int, *, threads: int | None = None
             ) -> Iterator[list[T]]:
    """Load items 0 to ``count`` - 1 in threads, a few batches ahead of the consumer. One thread loads one batch.

    Args:
        load: a function that returns the item of an index; it is called from several threads.
        count: the number of items.
        batch_size: the number of items per batch; the last batch may be smaller.
        threads: the number of threads; by default one per core, and at most `MAX_THREADS`.

    Yields:
        Batches of items in order. An exception of ``load`` is raised when its batch is due.
    """

    def load_batch(start: int) -> list[T]:
        """Load the batch that begins at item ``start``."""
        return [load(index) for index in range(start, min(start + batch_size, count))]

    threads = threads or min(MAX_THREADS, usable_cores())
    pending: deque[Future[list[T]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for start in range(0, count, batch_size):
            pending.append(pool.submit(load_batch, start))
            if len(pending) > max(PREFETCH_BATCHES, threads - 1):
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
