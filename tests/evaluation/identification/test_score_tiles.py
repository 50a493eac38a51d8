from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from facekd.evaluation.identification import score_tiles
from facekd.evaluation.identification.score_tiles import (
    NumpyScoreTile,
    ScoreTile,
    TiledProduct,
    TorchScoreTile,
    Workspace,
)
from facekd.evaluation.types import Float32Array

SCORES: Float32Array = np.random.default_rng(0).choice(np.arange(-4, 5, dtype=np.float32) / 4, (9, 30))  # with ties
CreateTile = Callable[[Float32Array], ScoreTile]


@pytest.fixture(params=["numpy", "torch"])
def create_tile(request: pytest.FixtureRequest) -> CreateTile:
    workspace = Workspace()  # shared, as by the tiles of a thread
    if request.param == "numpy":
        return lambda scores: NumpyScoreTile(scores, workspace)
    return lambda scores: TorchScoreTile(torch.from_numpy(scores))


def test_scores_of_at_least_the_floor_of_their_row_are_found(create_tile: CreateTile) -> None:
    floors = np.linspace(-1, 1.1, 9).astype(np.float32)
    tile = create_tile(SCORES)
    rows, columns, scores = tile.scores_above(floors)
    expected_rows, expected_columns = np.nonzero(floors[:, None] <= SCORES)
    assert len(tile) == 9
    assert np.array_equal(rows, expected_rows) and np.array_equal(columns, expected_columns)
    assert np.array_equal(scores, SCORES[rows, columns])


@pytest.mark.parametrize("queries", [0, 1, 5, 200])
def test_scores_are_counted_above_and_listed_between_the_bounds(create_tile: CreateTile, queries: int) -> None:
    generator = np.random.default_rng(1)
    query_rows = generator.integers(0, 9, queries)
    low = (generator.integers(-4, 4, queries) / 4).astype(np.float32)
    high = low + np.float32(0.5)
    counts, query, column = create_tile(SCORES).compare_with_bounds(query_rows, low, high)
    scores = SCORES[query_rows]
    assert counts.tolist() == (scores >= high[:, None]).sum(axis=1).tolist()
    expected = np.argwhere((scores >= low[:, None]) & (scores < high[:, None]))
    assert np.column_stack([query, column]).tolist() == expected.tolist()


def test_a_workspace_serves_small_and_large_tiles() -> None:
    workspace = Workspace()
    for rows in (4, 9, 2):
        tile = NumpyScoreTile(SCORES[:rows], workspace)
        counts, _, _ = tile.compare_with_bounds(np.arange(rows), np.full(rows, 2.0, np.float32),
                                                np.full(rows, 0.0, np.float32))
        assert counts.tolist() == (SCORES[:rows] >= 0).sum(axis=1).tolist()


def test_the_tiles_of_a_product_are_those_of_the_whole_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(score_tiles, "CPU_TILE_ROWS", 40)
    generator = np.random.default_rng(2)
    probes, distractors = (generator.normal(size=(rows, 8)).astype(np.float32) for rows in (100, 30))
    product = TiledProduct(probes, torch.device("cpu"))
    for block in (distractors, distractors[:7]):  # the second one reuses the memory of the first
        products = np.empty((100, len(block)), np.float32)
        starts = []
        for start, tile in product.tiles(block):
            rows, columns, scores = tile.scores_above(np.full(len(tile), -np.inf, np.float32))
            products[start + rows, columns] = scores
            starts.append(start)
        assert starts == [0, 40, 80]
        np.testing.assert_allclose(products, probes @ block.T, atol=1e-5)
