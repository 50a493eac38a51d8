"""Near-duplicate identities: directions so close that two identities may be one person."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from facekd.data.feature_set import Features
from facekd.evaluation.identification.top_scores import TopScores
from facekd.evaluation.types import Float32Array, IntArray
from facekd.utils.progress import progress_bar

DUPLICATE_ANGLE = 60.0
"""Degrees within which two identities are listed as possibly one person."""

TILE_ROWS = 4096
"""Rows compared at once: a tile of scores has 64 MiB."""

MAX_PAIRS = 10_000
"""Pairs that are listed; more than anybody reviews."""


@dataclass(frozen=True, eq=False)
class NearDuplicates:
    """Pairs of rows by falling cosine.

    Attributes:
        first: int64 [pairs].
        second: int64 [pairs].
        cosine: float32 [pairs].
        count: number of pairs that are close enough, including those beyond `MAX_PAIRS`.
    """

    first: IntArray
    second: IntArray
    cosine: Float32Array
    count: int


def find_near_duplicates(first: Features, second: Features | None, angle: float,
                         device: torch.device | str = "cpu") -> NearDuplicates:
    """Find the pairs of rows at most ``angle`` apart, of two sets or within one.

    Args:
        first: float32 [rows, dimension], unit rows; rows of zeros are close to no row.
        second: float32 [rows, dimension], unit rows; None for every pair of rows of ``first`` once.
        angle: degrees, below 90.
        device: device of the products; all rows must fit into its memory.
    """
    min_cosine = float(np.cos(np.radians(angle)))
    top_scores = TopScores(MAX_PAIRS, floor=min_cosine)
    count = 0
    columns = torch.from_numpy(first if second is None else second).to(device)
    with progress_bar("pairs", len(first), "rows") as advance:
        for top in range(0, len(first), TILE_ROWS):
            rows = torch.from_numpy(first[top : top + TILE_ROWS]).to(device)
            # Within one set the tiles below the diagonal repeat those above it.
            for left in range(top if second is None else 0, len(columns), TILE_ROWS):
                cosines = rows @ columns[left : left + TILE_ROWS].T
                is_close = cosines >= min_cosine
                if second is None and left == top:
                    is_close = is_close.triu(1)
                row, column = is_close.nonzero(as_tuple=True)
                count += len(row)
                scores = cosines[row, column].float().cpu().numpy()
                top_scores.add(scores, (top + row).int().cpu().numpy(), (left + column).int().cpu().numpy())
            advance(len(rows), f"{count} close")
    top_scores.compact()
    order = np.argsort(-top_scores.scores, kind="stable")[:MAX_PAIRS]
    return NearDuplicates(
        first=top_scores.rows[order].astype(np.int64),
        second=top_scores.columns[order].astype(np.int64),
        cosine=top_scores.scores[order],
        count=count,
    )
