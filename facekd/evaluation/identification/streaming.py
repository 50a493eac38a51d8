"""One pass over the distractors: in threads on a CPU, on a GPU, or distributed over the processes of torchrun."""

from __future__ import annotations

import glob
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import torch
from threadpoolctl import threadpool_limits

from facekd import distributed
from facekd.data.feature_set import FeatureSet
from facekd.evaluation.identification.partial_counts import PartialCounts, load_checkpoint, save_checkpoint
from facekd.evaluation.identification.rank_counter import BlockCounts, RankCounter
from facekd.evaluation.identification.score_tiles import TiledProduct
from facekd.utils.progress import progress_bar

SAVE_SECONDS = 30.0


def count_distractors_ahead(
    counter: RankCounter, distractors: FeatureSet, capacity: int, device: torch.device,
    checkpoint: Path | None = None, key: str = "",
) -> PartialCounts | None:
    """Compare all probes with all distractors.

    Under torchrun every process takes its share of the blocks. An interrupted pass is continued, by any number of
    processes.

    Args:
        counter: the counter, with the probes and their mates.
        distractors: the distractors; they are read once, a block at a time.
        capacity: number of highest impostor scores to keep.
        device: device of the scores; each process of torchrun uses its own CUDA device.
        checkpoint: path of the state of an interrupted pass: files ``CHECKPOINT.0`` and so on, one for each process,
            removed at the end. None: no state is kept.
        key: identifies the comparison; a checkpoint with another key is ignored.

    Returns:
        The counts over all distractors; None in all processes of torchrun but the first.

    Raises:
        DataError: a distractor cannot be used.
        SetupError: a file cannot be written.
    """
    rank = distributed.get_rank()
    world_size = distributed.get_world_size()
    block_size = distractors_per_block(device)
    total = len(distractors)
    num_blocks = -(-total // block_size)
    counts = PartialCounts(counter, num_blocks, block_size, capacity)
    earlier, files = _load_earlier(checkpoint, key, PartialCounts(counter, num_blocks, block_size, capacity))
    distributed.barrier()  # every process reads the checkpoints before any process writes or removes one
    file = checkpoint.with_name(f"{checkpoint.name}.{rank}") if checkpoint else None
    if rank == 0:
        counts = earlier
        if file and files:
            save_checkpoint(file, counts, key)
            _remove(other for other in files if other != file)
    todo = [block for block in range(num_blocks) if not earlier.counted_blocks[block]][rank::world_size]
    products = _ThreadProducts(counter, distributed.local_device(device))

    def count(block: int) -> BlockCounts:
        """Count a block in the calling thread."""
        start = block * block_size
        rows = distractors.l2_normalized_rows(start, min(start + block_size, total))
        return counter.count_block(products.get(), rows)

    saved_at = time.monotonic()
    counted = min(int(earlier.counted_blocks.sum()) * block_size, total) // world_size
    with progress_bar("identify", -(-total // world_size), "distractors", counted) as advance:
        for block, block_counts in _in_threads(count, todo, device):
            counts.add(block, block_counts)
            advance(min(block_size, total - block * block_size), "")
            if file and time.monotonic() - saved_at > SAVE_SECONDS:
                save_checkpoint(file, counts, key)
                saved_at = time.monotonic()
    all_arrays = distributed.gather_objects(counts.arrays() if rank else {})
    for arrays in (all_arrays or [])[1:]:
        counts.merge(arrays)
    if file:
        _remove([file])
    counts.impostors.compact()
    return counts if rank == 0 else None


def distractors_per_block(device: torch.device) -> int:
    """Return the number of distractors in a block."""
    return 2048 if device.type == "cpu" else 1 << 16


def _load_earlier(checkpoint: Path | None, key: str, counts: PartialCounts) -> tuple[PartialCounts, list[Path]]:
    """Merge the checkpoints of an interrupted pass into empty counts; return the counts and the files."""
    files = sorted(checkpoint.parent.glob(f"{glob.escape(checkpoint.name)}.*")) if checkpoint else []
    loaded = [arrays for arrays in (load_checkpoint(file, key, counts) for file in files) if arrays]
    # A pass that was stopped while it merged checkpoints leaves the sum and some of its parts. The sum has the most
    # blocks and comes first here; the parts overlap it and are skipped.
    for arrays in sorted(loaded, key=lambda arrays: -int(arrays["counted_blocks"].sum())):
        blocks = arrays["counted_blocks"]
        if blocks.shape == counts.counted_blocks.shape and not (blocks & counts.counted_blocks).any():
            counts.merge(arrays)
    return counts, files


def _remove(files: Iterable[Path]) -> None:
    for file in files:
        file.unlink(missing_ok=True)


class _ThreadProducts:
    """The products of every thread: their memory is reused for all blocks of a thread."""

    def __init__(self, counter: RankCounter, device: torch.device) -> None:
        self._local = threading.local()
        self._counter = counter
        self._device = device

    def get(self) -> tuple[TiledProduct, TiledProduct | None]:
        """Return the products of the calling thread."""
        if not hasattr(self._local, "products"):
            self._local.products = self._counter.create_products(self._device)
        products: tuple[TiledProduct, TiledProduct | None] = self._local.products
        return products


def _in_threads(count: Callable[[int], BlockCounts], blocks: Sequence[int],
                device: torch.device) -> Iterator[tuple[int, BlockCounts]]:
    """Yield the counts of the blocks in order, while threads work on the next ones.

    On a CPU every core multiplies and counts its own blocks, in its own caches: BLAS and torch use one thread each.
    """
    cores = torch.get_num_threads()
    threads = cores if device.type == "cpu" else 2  # on a GPU one thread reads while the other one multiplies
    pending: deque[tuple[int, Future[BlockCounts]]] = deque()
    try:
        with (
            threadpool_limits(1, "blas"),
            ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool,
        ):
            for block in blocks:
                pending.append((block, pool.submit(count, block)))
                if len(pending) > 2 * threads:
                    first, future = pending.popleft()
                    yield first, future.result()
            while pending:
                first, future = pending.popleft()
                yield first, future.result()
    finally:
        torch.set_num_threads(cores)
