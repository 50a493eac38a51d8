"""One pass over the distractors: in threads on a CPU, or on a GPU, or shared by the processes of torchrun."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import torch
from threadpoolctl import threadpool_limits

from facekd import distributed as ranks
from facekd.data.feature_set import FeatureSet
from facekd.evaluation.identification.partial_counts import Tally, read_tally, save_tally
from facekd.evaluation.identification.rank_counter import Counter, Found
from facekd.evaluation.identification.score_tiles import Product, columns
from facekd.utils.progress import progress

SAVE_SECONDS = 30.0


def count_ahead(counter: Counter, distractors: FeatureSet, capacity: int, device: torch.device,
                state: Path | None = None, key: str = "") -> Tally | None:
    """Compare all probes with all distractors.

    Under torchrun every process takes its share of the blocks. What is on disk of an interrupted pass is taken over, by
    as many processes as there are now.

    Args:
        counter: the probes and their mates.
        distractors: read once, a block at a time.
        capacity: highest impostor scores to keep.
        device: where; each process of torchrun with a CUDA device of its own.
        state: where an interrupted pass is continued from, ``STATE.0`` and so on, removed at its end; None: nowhere.
        key: says what is compared; a state with another key is of no use.

    Returns:
        the counts over all distractors; None in all processes of torchrun but the first.

    Raises:
        DataError: a distractor cannot be used.
        SetupError: the disk is full.
    """
    rank, world = ranks.place()
    width, total = columns(device), len(distractors)
    tally = Tally(counter, -(-total // width), width, capacity)
    before, files = _before(state, key, Tally(counter, len(tally.done), width, capacity))
    ranks.wait()  # until all have read what was on disk, before anybody writes
    own = state.with_name(f"{state.name}.{rank}") if state else None
    if rank == 0:
        tally = before
        if own and files:
            save_tally(own, tally, key)
            _remove(file for file in files if file != own)
    todo = [block for block in range(len(before.done)) if not before.done[block]][rank::world]
    products = _Products(counter, ranks.own_device(device))

    def work(block: int) -> Found:
        start = block * width
        return counter.count(products.mine(), distractors.unit(start, min(start + width, total)))

    saved, start = time.monotonic(), min(int(before.done.sum()) * width, total) // world
    with progress("identify", -(-total // world), "distractors", start) as advance:
        for block, found in _in_threads(work, todo, device):
            tally.add(block, found)
            advance(min(width, total - block * width), "")
            if own and time.monotonic() - saved > SAVE_SECONDS:
                save_tally(own, tally, key)
                saved = time.monotonic()
    everything = ranks.gathered(tally.arrays() if rank else {})
    for other in (everything or [])[1:]:
        tally.merge(other)
    if own:
        _remove([own])
    tally.impostors.settle()
    return tally if rank == 0 else None


def _before(state: Path | None, key: str, tally: Tally) -> tuple[Tally, list[Path]]:
    """What an interrupted pass left: its counts, and its files."""
    files = sorted(state.parent.glob(f"{state.name}.*")) if state else []
    found = [arrays for arrays in (read_tally(file, key) for file in files) if arrays]
    # Stopped while it merged, a pass leaves the sum beside its parts: the sum comes first here, the parts overlap it.
    for arrays in sorted(found, key=lambda arrays: -int(arrays["done"].sum())):
        if arrays["done"].shape == tally.done.shape and not (arrays["done"] & tally.done).any():
            tally.merge(arrays)
    return tally, files


def _remove(files: Iterable[Path]) -> None:
    for file in files:
        file.unlink(missing_ok=True)


class _Products:
    """Products for every thread."""

    def __init__(self, counter: Counter, device: torch.device) -> None:
        self._local, self._counter, self._device = threading.local(), counter, device

    def mine(self) -> tuple[Product, Product | None]:
        if not hasattr(self._local, "products"):
            self._local.products = self._counter.products(self._device)
        products: tuple[Product, Product | None] = self._local.products
        return products


def _in_threads(work: Callable[[int], Found], todo: Sequence[int], device: torch.device) -> Iterator[tuple[int, Found]]:
    """The blocks in order, a few of them under way: a core multiplies and counts by itself, in its own caches."""
    cores = torch.get_num_threads()
    threads = cores if device.type == "cpu" else 2  # on a GPU one reads while the other multiplies
    pending: deque[tuple[int, Future[Found]]] = deque()
    try:
        with (
            threadpool_limits(1, "blas"),
            ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool,
        ):
            for block in todo:
                pending.append((block, pool.submit(work, block)))
                if len(pending) > 2 * threads:
                    number, found = pending.popleft()
                    yield number, found.result()
            while pending:
                number, found = pending.popleft()
                yield number, found.result()
    finally:
        torch.set_num_threads(cores)
