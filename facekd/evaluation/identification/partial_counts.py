"""The counts of the blocks compared so far: sums that are merged in any order, saved, and continued."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facekd.errors import DataError
from facekd.evaluation.identification.rank_counter import BlockCounts, RankCounter
from facekd.evaluation.identification.top_scores import TopScores
from facekd.io.arrays import read_npz
from facekd.io.files import atomic_write
from facekd.io.reading import reading
from facekd.utils.console import notify

Arrays = dict[str, NDArray[np.generic]]


class PartialCounts:
    """Counts over the blocks of distractors compared so far.

    Args:
        counter: the counter of the blocks.
        num_blocks: total number of blocks.
        block_size: distractors in a block.
        capacity: number of highest impostor scores to keep.

    Attributes:
        counted_blocks: bool [num_blocks], which blocks are included.
        insertion_counts: sum of `BlockCounts.insertion_counts`.
        deep_counts: sum of `BlockCounts.deep_counts`.
        impostors: the highest impostor scores, by probe (row) and distractor (column).
    """

    def __init__(self, counter: RankCounter, num_blocks: int, block_size: int, capacity: int) -> None:
        self.counted_blocks = np.zeros(num_blocks, bool)
        self._block_size = block_size
        self.insertion_counts = np.zeros(counter.num_insertion_bins, np.int64)
        self.deep_counts = np.zeros(counter.num_deep_mates, np.int64)
        self.impostors = TopScores(capacity, counter.score_error)

    def add(self, block: int, counts: BlockCounts) -> None:
        """Add the counts of a block."""
        self.counted_blocks[block] = True
        self.insertion_counts += counts.insertion_counts
        self.deep_counts += counts.deep_counts
        self.impostors.add(counts.score, counts.probe, counts.distractor + np.int32(block * self._block_size))

    def merge(self, arrays: Arrays) -> None:
        """Add the `arrays` of other partial counts, which include other blocks."""
        self.counted_blocks |= arrays["counted_blocks"].astype(bool)
        self.insertion_counts += arrays["insertion_counts"].astype(np.int64)
        self.deep_counts += arrays["deep_counts"].astype(np.int64)
        impostors = (arrays[name] for name in ("impostor_scores", "impostor_probes", "impostor_distractors"))
        self.impostors.add(*impostors)  # type: ignore[arg-type]

    def arrays(self) -> Arrays:
        """Return all counts as arrays, for `merge`."""
        impostors = self.impostors
        impostors.compact()
        return {
            "counted_blocks": self.counted_blocks,
            "insertion_counts": self.insertion_counts,
            "deep_counts": self.deep_counts,
            "impostor_scores": impostors.scores,
            "impostor_probes": impostors.rows,
            "impostor_distractors": impostors.columns,
        }


def save_checkpoint(path: Path, counts: PartialCounts, key: str) -> None:
    """Write partial counts atomically; ``key`` identifies the comparison."""
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        np.savez(file, comparison=np.array(key), **counts.arrays())  # type: ignore[arg-type]


def load_checkpoint(path: Path, key: str, empty: PartialCounts) -> Arrays | None:
    """Read the arrays of partial counts; None if the file is of another comparison, or is damaged, which a note says.

    Args:
        path: the file.
        key: identifies the comparison.
        empty: the counts that the arrays are merged into; only their shapes and types are read.
    """
    try:
        arrays = read_npz(path, remedy="it is begun anew")
        with reading(path, remedy="it is begun anew"):
            if str(arrays.pop("comparison")) != key:
                return None
            _check(arrays, empty)
    except DataError as problem:
        notify(str(problem))
        return None
    return arrays


def _check(arrays: Arrays, empty: PartialCounts) -> None:
    """Check that arrays can be merged.

    Raises:
        ValueError: an array is missing, or has another type or shape than in the counts that they are merged into.
    """
    for name, expected in empty.arrays().items():
        if name not in arrays:
            raise ValueError(f"it has no array '{name}'")
        same_shape = arrays[name].ndim == 1 if name.startswith("impostor") else arrays[name].shape == expected.shape
        if not same_shape or arrays[name].dtype != expected.dtype:
            raise ValueError(f"'{name}' has another type or shape")
    if len({len(arrays[name]) for name in arrays if name.startswith("impostor")}) != 1:
        raise ValueError("its impostors are not complete")
