"""Scores of some probes with some distractors, one tile at a time, on a CPU or a GPU, and the queries on a tile."""

from __future__ import annotations

import timeit
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from facekd.data.feature_set import Features
from facekd.evaluation.types import BoolArray, Float32Array, IntArray

Multiply = Callable[[Tensor, Tensor, Tensor], None]
"""Write the product of probes and distractors into the third tensor."""
CPU_TILE_ROWS = 1200
"""Probes in a tile on a CPU; with 2048 distractors a tile fits into the caches of a core (docs/identification.md)."""
GPU_TILE_ROWS = 4096
ROWS_PER_COMPARISON = 64
"""Rows compared with bounds at a time: on a CPU their copies stay in its caches."""


class ScoreTile(ABC):
    """Float32 scores [probes, distractors] of one tile."""

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of probes."""

    @abstractmethod
    def scores_above(self, floors: Float32Array) -> tuple[IntArray, IntArray, Float32Array]:
        """Return the scores that are at least the floor of their row.

        Args:
            floors: float32 [probes].

        Returns:
            Rows, columns and scores, each [matches].
        """

    @abstractmethod
    def compare_with_bounds(self, rows: IntArray, low: Float32Array,
                            high: Float32Array) -> tuple[IntArray, IntArray, IntArray]:
        """Compare all scores of each query's row with its two bounds.

        Args:
            rows: int64 [queries], the row of each query; a row can occur more than once.
            low: float32 [queries].
            high: float32 [queries].

        Returns:
            int64 [queries], number of scores that are at least ``high``. For each score in [low, high), its query and
            its column, int64 [matches] each.
        """


class Workspace:
    """Memory that a thread reuses for every tile: allocating it costs more than a comparison."""

    def __init__(self) -> None:
        self._floats = np.empty(0, np.float32)
        self._bools = [np.empty(0, np.bool_) for _ in range(2)]

    def floats(self, rows: int, columns: int) -> Float32Array:
        """Return float32 [rows, columns] with undefined content."""
        if self._floats.size < rows * columns:
            self._floats = np.empty(rows * columns, np.float32)
        return self._floats[: rows * columns].reshape(rows, columns)

    def bools(self, buffer: int, rows: int, columns: int) -> BoolArray:
        """Return bool [rows, columns] with undefined content, in buffer 0 or 1."""
        if self._bools[buffer].size < rows * columns:
            self._bools[buffer] = np.empty(rows * columns, np.bool_)
        return self._bools[buffer][: rows * columns].reshape(rows, columns)


class NumpyScoreTile(ScoreTile):
    """A tile in the caches of a CPU core, where numpy compares and counts several times as fast as torch."""

    def __init__(self, scores: Float32Array, workspace: Workspace) -> None:
        self._scores = scores
        self._workspace = workspace

    def __len__(self) -> int:
        """Return the number of probes."""
        return len(self._scores)

    def scores_above(self, floors: Float32Array) -> tuple[IntArray, IntArray, Float32Array]:
        """See `ScoreTile.scores_above`."""
        mask = np.greater_equal(self._scores, floors[:, None], out=self._workspace.bools(0, *self._scores.shape))
        flat = np.flatnonzero(mask)  # faster than np.nonzero, which finds the indices of both axes
        rows, columns = np.divmod(flat, self._scores.shape[1])
        return rows, columns, self._scores.ravel().take(flat)

    def compare_with_bounds(self, rows: IntArray, low: Float32Array,
                            high: Float32Array) -> tuple[IntArray, IntArray, IntArray]:
        """See `ScoreTile.compare_with_bounds`."""
        counts = np.empty(len(rows), np.int64)
        between = [np.empty((2, 0), np.int64)]
        for start in range(0, len(rows), ROWS_PER_COMPARISON):
            chunk = slice(start, start + ROWS_PER_COMPARISON)
            shape = len(rows[chunk]), self._scores.shape[1]
            # mode="clip" spares a buffer that numpy would allocate for the default mode; all rows are in range.
            scores = self._scores.take(rows[chunk], axis=0, out=self._workspace.floats(*shape), mode="clip")
            above_low = np.greater_equal(scores, low[chunk, None], out=self._workspace.bools(0, *shape))
            above_high = np.greater_equal(scores, high[chunk, None], out=self._workspace.bools(1, *shape))
            # Summing bytes into uint16 is faster than counting bools; a block has fewer than 2**16 columns.
            counts[chunk] = above_high.view(np.uint8).sum(axis=1, dtype=np.uint16)
            flat = np.flatnonzero(np.logical_xor(above_low, above_high, out=above_low))
            between.append(np.stack(np.divmod(flat, shape[1])) + np.array([[start], [0]]))
        query, column = np.concatenate(between, axis=1)
        return counts, query, column


class TorchScoreTile(ScoreTile):
    """A tile on a GPU."""

    def __init__(self, scores: Tensor) -> None:
        self._scores = scores

    def __len__(self) -> int:
        """Return the number of probes."""
        return len(self._scores)

    def scores_above(self, floors: Float32Array) -> tuple[IntArray, IntArray, Float32Array]:
        """See `ScoreTile.scores_above`."""
        mask = self._scores >= self._to_device(floors[:, None])[0]
        rows, columns = mask.nonzero(as_tuple=True)
        return rows.cpu().numpy(), columns.cpu().numpy(), self._scores[mask].cpu().numpy()

    def compare_with_bounds(self, rows: IntArray, low: Float32Array,
                            high: Float32Array) -> tuple[IntArray, IntArray, IntArray]:
        """See `ScoreTile.compare_with_bounds`."""
        counts = np.empty(len(rows), np.int64)
        between = [np.empty((2, 0), np.int64)]
        for start in range(0, len(rows), ROWS_PER_COMPARISON):
            chunk = slice(start, start + ROWS_PER_COMPARISON)
            row_index, low_bound, high_bound = self._to_device(rows[chunk], low[chunk, None], high[chunk, None])
            scores = self._scores[row_index]
            above_high = scores >= high_bound
            counts[chunk] = above_high.sum(dim=1).cpu().numpy()
            matches = ((scores >= low_bound) & ~above_high).nonzero().T
            between.append(matches.cpu().numpy() + np.array([[start], [0]]))
        query, column = np.concatenate(between, axis=1)
        return counts, query, column

    def _to_device(self, *arrays: NDArray[np.generic]) -> list[Tensor]:
        return [torch.from_numpy(array).to(self._scores.device) for array in arrays]


class TiledProduct:
    """Multiplies probes with a block of distractors, a tile at a time, into memory that is reused.

    The speed of numpy's BLAS and torch's on a CPU differs by tens of percent from machine to machine, so the first
    tile measures which one to use.

    Args:
        probes: float32 [probes, numbers].
        device: device of the products; on a CPU each thread needs its own object.
    """

    def __init__(self, probes: Features, device: torch.device) -> None:
        self._on_cpu = device.type == "cpu"
        self._tile_rows = CPU_TILE_ROWS if self._on_cpu else GPU_TILE_ROWS
        self._probes = torch.tensor(probes, device=device)
        self._memory = torch.empty(0, device=device)
        self._workspace = Workspace()
        self._multiply: Multiply | None = None if self._on_cpu else _multiply_torch

    def tiles(self, distractors: Features) -> Iterator[tuple[int, ScoreTile]]:
        """Yield the index of each tile's first probe and the tile, which is valid until the next one is taken."""
        block = torch.tensor(distractors, device=self._probes.device)
        if self._memory.numel() < self._tile_rows * len(block):
            self._memory = torch.empty(self._tile_rows * len(block), device=block.device)
        for start in range(0, len(self._probes), self._tile_rows):
            probes = self._probes[start : start + self._tile_rows]
            scores = self._memory[: len(probes) * len(block)].view(len(probes), len(block))
            self._multiply = self._multiply or _fastest(probes, block, scores)
            self._multiply(probes, block, scores)
            yield start, NumpyScoreTile(scores.numpy(), self._workspace) if self._on_cpu else TorchScoreTile(scores)


def _fastest(probes: Tensor, block: Tensor, scores: Tensor) -> Multiply:
    def seconds(multiply: Multiply) -> float:
        """Measure one product."""
        return min(timeit.repeat(lambda: multiply(probes, block, scores), number=1, repeat=3))

    return min((_multiply_torch, _multiply_numpy), key=seconds)


def _multiply_torch(probes: Tensor, block: Tensor, scores: Tensor) -> None:
    torch.mm(probes, block.T, out=scores)


def _multiply_numpy(probes: Tensor, block: Tensor, scores: Tensor) -> None:
    np.matmul(probes.numpy(), block.numpy().T, out=scores.numpy())
