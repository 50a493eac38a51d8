"""Images are read in threads while a network works on earlier ones."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

AHEAD = 3
"""Batches that are read ahead of the network."""
THREADS = 4
"""Most threads that read: decoding releases the interpreter lock, so few of them keep a network fed."""
T = TypeVar("T")


def ahead(load: Callable[[int], T], count: int, batch: int) -> Iterator[list[T]]:
    """Load item 0, 1, ... in threads, a few batches ahead of whoever takes them; one thread loads a batch.

    Args:
        load: gives an item; called from several threads.
        count: number of items.
        batch: items in a list; the last one may be shorter.

    Yields:
        The items in order. What ``load`` raises is raised where its batch is due.
    """

    def some(first: int) -> list[T]:
        return [load(index) for index in range(first, min(first + batch, count))]

    pending: deque[Future[list[T]]] = deque()
    with ThreadPoolExecutor(min(THREADS, os.cpu_count() or 1)) as pool:
        for first in range(0, count, batch):
            pending.append(pool.submit(some, first))
            if len(pending) > AHEAD:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
