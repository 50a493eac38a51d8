"""Scores of some probes with some distractors, on a CPU or a GPU, and what is asked of them while they are there."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from facekd.data.featureset import Features

Ints = NDArray[np.int64]
Singles = NDArray[np.float32]
ASKED = 256
"""Rows compared with bounds at a time: on a CPU their copies stay in its caches."""


class Tile(ABC):
    """Float32 scores [probes, distractors] of one tile; they are not kept."""

    @abstractmethod
    def __len__(self) -> int:
        """Number of probes."""

    @abstractmethod
    def above(self, levels: Singles) -> tuple[Ints, Ints, Singles]:
        """The scores of at least their row's level, [probes]: rows, columns, and the scores, each [found]."""

    @abstractmethod
    def count(self, rows: Ints, low: Singles, high: Singles) -> tuple[Ints, Ints]:
        """How many scores of a row are at least as high as each of two bounds.

        Args:
            rows: int64 [asked], a row as often as it is asked about.
            low: float32 [asked].
            high: float32 [asked].

        Returns:
            int64 [asked] for ``low`` and for ``high``.
        """

    @abstractmethod
    def between(self, rows: Ints, low: Singles, high: Singles) -> tuple[Ints, Ints]:
        """The scores in [low, high): which of those asked about, and the column, int64 [found] each."""


class NumpyTile(Tile):
    """In the caches of a CPU core; numpy compares and counts there several times as fast as torch."""

    def __init__(self, scores: Singles) -> None:
        self._scores = scores

    def __len__(self) -> int:
        """Number of probes."""
        return len(self._scores)

    def above(self, levels: Singles) -> tuple[Ints, Ints, Singles]:
        """See `Tile.above`."""
        found = np.flatnonzero(self._scores >= levels[:, None])
        rows, columns = np.divmod(found, self._scores.shape[1])
        return rows, columns, self._scores.ravel()[found]

    def count(self, rows: Ints, low: Singles, high: Singles) -> tuple[Ints, Ints]:
        """See `Tile.count`."""
        counts = np.empty((2, len(rows)), np.int64)
        for start in range(0, len(rows), ASKED):
            part = slice(start, start + ASKED)
            scores = self._scores.take(rows[part], axis=0)
            for bound, count in zip((low, high), counts, strict=True):
                count[part] = (scores >= bound[part, None]).view(np.uint8).sum(axis=1, dtype=np.uint16)
        return counts[0], counts[1]

    def between(self, rows: Ints, low: Singles, high: Singles) -> tuple[Ints, Ints]:
        """See `Tile.between`."""
        found = [np.empty((2, 0), np.int64)]
        for start in range(0, len(rows), ASKED):
            part = slice(start, start + ASKED)
            scores = self._scores.take(rows[part], axis=0)
            inside = np.flatnonzero((scores >= low[part, None]) & (scores < high[part, None]))
            found.append(np.stack(np.divmod(inside, scores.shape[1])) + np.array([[start], [0]]))
        position, column = np.concatenate(found, axis=1)
        return position, column


class TorchTile(Tile):
    """On a GPU."""

    def __init__(self, scores: Tensor) -> None:
        self._scores = scores

    def __len__(self) -> int:
        """Number of probes."""
        return len(self._scores)

    def above(self, levels: Singles) -> tuple[Ints, Ints, Singles]:
        """See `Tile.above`."""
        mask = self._scores >= self._here(levels[:, None])[0]
        rows, columns = mask.nonzero(as_tuple=True)
        return rows.cpu().numpy(), columns.cpu().numpy(), self._scores[mask].cpu().numpy()

    def count(self, rows: Ints, low: Singles, high: Singles) -> tuple[Ints, Ints]:
        """See `Tile.count`."""
        counts = np.empty((2, len(rows)), np.int64)
        for start in range(0, len(rows), ASKED):
            part = slice(start, start + ASKED)
            own, bottom, top = self._here(rows[part], low[part, None], high[part, None])
            scores = self._scores[own]
            for bound, count in zip((bottom, top), counts, strict=True):
                count[part] = (scores >= bound).sum(dim=1).cpu().numpy()
        return counts[0], counts[1]

    def between(self, rows: Ints, low: Singles, high: Singles) -> tuple[Ints, Ints]:
        """See `Tile.between`."""
        found = [np.empty((2, 0), np.int64)]
        for start in range(0, len(rows), ASKED):
            part = slice(start, start + ASKED)
            own, bottom, top = self._here(rows[part], low[part, None], high[part, None])
            scores = self._scores[own]
            inside = ((scores >= bottom) & (scores < top)).nonzero().T
            found.append(inside.cpu().numpy() + np.array([[start], [0]]))
        position, column = np.concatenate(found, axis=1)
        return position, column

    def _here(self, *arrays: NDArray[np.generic]) -> list[Tensor]:
        return [torch.from_numpy(array).to(self._scores.device) for array in arrays]


class Product:
    """Multiplies probes with a block of distractors, a tile at a time, into memory that is used again.

    A tile is as large as a core's caches bear (measured: docs/identification.md), or as a GPU likes.

    Args:
        probes: float32 [probes, numbers].
        device: where; on a CPU each thread has its own product.
    """

    def __init__(self, probes: Features, device: torch.device) -> None:
        self._rows = 512 if device.type == "cpu" else 4096
        self._probes = torch.tensor(probes, device=device)
        self._memory = torch.empty(0, device=device)

    def tiles(self, distractors: Features) -> Iterator[tuple[int, Tile]]:
        """The first probe of each tile and the tile, valid until the next one is asked for."""
        block = torch.tensor(distractors, device=self._probes.device)
        if self._memory.numel() < self._rows * len(block):
            self._memory = torch.empty(self._rows * len(block), device=block.device)
        for start in range(0, len(self._probes), self._rows):
            probes = self._probes[start : start + self._rows]
            scores = self._memory[: len(probes) * len(block)].view(len(probes), len(block))
            torch.mm(probes, block.T, out=scores)
            yield start, NumpyTile(scores.numpy()) if scores.device.type == "cpu" else TorchTile(scores)


def columns(device: torch.device) -> int:
    """Distractors in a block."""
    return 2048 if device.type == "cpu" else 1 << 16
