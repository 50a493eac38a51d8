"""What was counted so far: sums that can be added up in any order, kept on disk, and taken up again."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facekd.errors import DataError
from facekd.evaluation.identification.rank_counter import Counter, Found
from facekd.evaluation.identification.top_scores import Impostors
from facekd.utils.files import atomic


class Tally:
    """Counts over the blocks of distractors seen so far.

    Args:
        counter: whose counts.
        blocks: number of blocks in all.
        width: distractors in a block.
        capacity: of the highest impostor scores.

    Attributes:
        done: bool [blocks].
        places: see `facekd.evaluation.identification.rank_counter.Found`.
        deep: likewise.
        impostors: the highest scores.
    """

    def __init__(self, counter: Counter, blocks: int, width: int, capacity: int) -> None:
        self.done = np.zeros(blocks, bool)
        self._width = width
        self.places = np.zeros(counter.places, np.int64)
        self.deep = np.zeros(counter.deep, np.int64)
        self.impostors = Impostors(capacity, counter.error)

    def add(self, block: int, found: Found) -> None:
        """Count what a block holds."""
        self.done[block] = True
        self.places += found.places
        self.deep += found.deep
        self.impostors.add(found.score, found.probe, found.distractor + np.int32(block * self._width))

    def merge(self, arrays: dict[str, NDArray[np.generic]]) -> None:
        """Add the ``arrays`` of another tally, which saw other blocks."""
        self.done |= arrays["done"].astype(bool)
        self.places += arrays["places"].astype(np.int64)
        self.deep += arrays["deep"].astype(np.int64)
        self.impostors.add(*(arrays[name] for name in ("score", "probe", "distractor")))  # type: ignore[arg-type]

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """All it holds."""
        top = self.impostors
        top.settle()
        return {"done": self.done, "places": self.places, "deep": self.deep,
                "score": top.score, "probe": top.probe, "distractor": top.distractor}


def save_tally(path: Path, tally: Tally, key: str) -> None:
    """Write a tally atomically; ``key`` says what was compared."""
    with atomic(path) as temporary, temporary.open("wb") as handle:
        np.savez(handle, key=np.array(key), **tally.arrays())  # type: ignore[arg-type]


def read_tally(path: Path, key: str) -> dict[str, NDArray[np.generic]] | None:
    """The arrays of a tally on disk; None where it is about something else, or no tally.

    Raises:
        DataError: the file cannot be read.
    """
    try:
        with np.load(path, allow_pickle=False) as content:
            return dict(content) if str(content["key"]) == key else None
    except OSError as problem:
        raise DataError(f"{path} cannot be read ({problem}); remove it, the comparison begins anew") from problem
    except (EOFError, ValueError, KeyError, zipfile.BadZipFile):
        return None
