"""Scores of some probes with some distractors, on a CPU or a GPU, and what is asked of them while they are there."""

from __future__ import annotations

import timeit
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from facekd.data.feature_set import Features

Ints = NDArray[np.int64]
Singles = NDArray[np.float32]
Multiply = Callable[[Tensor, Tensor, Tensor], None]
ASKED = 64
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
    def compare(self, rows: Ints, low: Singles, high: Singles) -> tuple[Ints, Ints, Ints]:
        """Compare all scores of a row with two bounds.

        Args:
            rows: int64 [asked], a row as often as it is asked about.
            low: float32 [asked].
            high: float32 [asked].

        Returns:
            int64 [asked], how many scores are at least ``high``; and of the scores in [low, high) which of those asked
            about, and the column, int64 [found] each.
        """


class Workspace:
    """Memory that a thread uses again for every tile: asking the system for it costs more than a comparison."""

    def __init__(self) -> None:
        self._floats, self._bools = np.empty(0, np.float32), [np.empty(0, np.bool_) for _ in range(2)]

    def floats(self, rows: int, columns: int) -> Singles:
        """float32 [rows, columns], holding anything."""
        if self._floats.size < rows * columns:
            self._floats = np.empty(rows * columns, np.float32)
        return self._floats[: rows * columns].reshape(rows, columns)

    def bools(self, which: int, rows: int, columns: int) -> NDArray[np.bool_]:
        """One of two bool [rows, columns], holding anything."""
        if self._bools[which].size < rows * columns:
            self._bools[which] = np.empty(rows * columns, np.bool_)
        return self._bools[which][: rows * columns].reshape(rows, columns)


class NumpyTile(Tile):
    """In the caches of a CPU core; numpy compares and counts there several times as fast as torch."""

    def __init__(self, scores: Singles, space: Workspace) -> None:
        self._scores, self._space = scores, space

    def __len__(self) -> int:
        """Number of probes."""
        return len(self._scores)

    def above(self, levels: Singles) -> tuple[Ints, Ints, Singles]:
        """See `Tile.above`."""
        mask = np.greater_equal(self._scores, levels[:, None], out=self._space.bools(0, *self._scores.shape))
        found = np.flatnonzero(mask)
        rows, columns = np.divmod(found, self._scores.shape[1])
        return rows, columns, self._scores.ravel().take(found)

    def compare(self, rows: Ints, low: Singles, high: Singles) -> tuple[Ints, Ints, Ints]:
        """See `Tile.compare`."""
        count, found = np.empty(len(rows), np.int64), [np.empty((2, 0), np.int64)]
        for start in range(0, len(rows), ASKED):
            part = slice(start, start + ASKED)
            shape = len(rows[part]), self._scores.shape[1]
            # mode="clip" spares numpy a buffer of its own; the rows are there.
            scores = self._scores.take(rows[part], axis=0, out=self._space.floats(*shape), mode="clip")
            above_low = np.greater_equal(scores, low[part, None], out=self._space.bools(0, *shape))
            above = np.greater_equal(scores, high[part, None], out=self._space.bools(1, *shape))
            count[part] = above.view(np.uint8).sum(axis=1, dtype=np.uint16)
            inside = np.flatnonzero(np.logical_xor(above_low, above, out=above_low))
            found.append(np.stack(np.divmod(inside, shape[1])) + np.array([[start], [0]]))
        position, column = np.concatenate(found, axis=1)
        return count, position, column


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

    def compare(self, rows: Ints, low: Singles, high: Singles) -> tuple[Ints, Ints, Ints]:
        """See `Tile.compare`."""
        count, found = np.empty(len(rows), np.int64), [np.empty((2, 0), np.int64)]
        for start in range(0, len(rows), ASKED):
            part = slice(start, start + ASKED)
            own, bottom, top = self._here(rows[part], low[part, None], high[part, None])
            scores = self._scores[own]
            above = scores >= top
            count[part] = above.sum(dim=1).cpu().numpy()
            inside = ((scores >= bottom) & ~above).nonzero().T
            found.append(inside.cpu().numpy() + np.array([[start], [0]]))
        position, column = np.concatenate(found, axis=1)
        return count, position, column

    def _here(self, *arrays: NDArray[np.generic]) -> list[Tensor]:
        return [torch.from_numpy(array).to(self._scores.device) for array in arrays]


class Product:
    """Multiplies probes with a block of distractors, a tile at a time, into memory that is used again.

    A tile is as large as a core's caches bear (measured: docs/identification.md), or as a GPU likes. On a CPU numpy's
    BLAS and torch's differ by tens of percent from machine to machine, so the first tile tells which is used.

    Args:
        probes: float32 [probes, numbers].
        device: where; on a CPU each thread has its own product.
    """

    def __init__(self, probes: Features, device: torch.device) -> None:
        self._cpu = device.type == "cpu"
        self._rows = 1200 if self._cpu else 4096
        self._probes = torch.tensor(probes, device=device)
        self._memory = torch.empty(0, device=device)
        self._space = Workspace()
        self._multiply: Multiply | None = None if self._cpu else _by_torch

    def tiles(self, distractors: Features) -> Iterator[tuple[int, Tile]]:
        """The first probe of each tile and the tile, valid until the next one is asked for."""
        block = torch.tensor(distractors, device=self._probes.device)
        if self._memory.numel() < self._rows * len(block):
            self._memory = torch.empty(self._rows * len(block), device=block.device)
        for start in range(0, len(self._probes), self._rows):
            probes = self._probes[start : start + self._rows]
            scores = self._memory[: len(probes) * len(block)].view(len(probes), len(block))
            self._multiply = self._multiply or _fastest(probes, block, scores)
            self._multiply(probes, block, scores)
            yield start, NumpyTile(scores.numpy(), self._space) if self._cpu else TorchTile(scores)


def _fastest(probes: Tensor, block: Tensor, scores: Tensor) -> Multiply:
    def seconds(way: Multiply) -> float:
        return min(timeit.repeat(lambda: way(probes, block, scores), number=1, repeat=3))

    return min((_by_torch, _by_numpy), key=seconds)


def _by_torch(probes: Tensor, block: Tensor, scores: Tensor) -> None:
    torch.mm(probes, block.T, out=scores)


def _by_numpy(probes: Tensor, block: Tensor, scores: Tensor) -> None:
    np.matmul(probes.numpy(), block.numpy().T, out=scores.numpy())


def columns(device: torch.device) -> int:
    """Distractors in a block."""
    return 2048 if device.type == "cpu" else 1 << 16
