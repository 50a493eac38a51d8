"""Images are read in threads while a network works on earlier ones."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

AHEAD = 3
"""Batches that are read ahead of the network."""
T = TypeVar("T")


def ahead(load: Callable[[int], T], count: int, batch: int) -> Iterator[list[T]]:
    """Load item 0, 1, ... in threads, a few batches ahead of whoever takes them.

    Args:
        load: gives an item; called from several threads.
        count: number of items.
        batch: items in a list; the last one may be shorter.

    Yields:
        The items in order. What ``load`` raises is raised where its item is due.
    """
    pending: deque[list[Future[T]]] = deque()
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        for start in range(0, count, batch):
            pending.append([pool.submit(load, index) for index in range(start, min(start + batch, count))])
            if len(pending) > AHEAD:
                yield [item.result() for item in pending.popleft()]
        while pending:
            yield [item.result() for item in pending.popleft()]
