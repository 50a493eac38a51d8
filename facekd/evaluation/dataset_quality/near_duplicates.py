"""Directions that lie close to each other: people who may be one person under two names."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from facekd.data.feature_set import Features
from facekd.evaluation.identification.top_scores import Impostors
from facekd.utils.progress import progress

DUPLICATE_ANGLE = 60.0
"""Degrees within which two people are listed as perhaps one."""

TILE = 4096
"""Rows compared at once: tiles of 64 MiB."""

MOST = 10_000
"""Pairs that are listed; more than anybody reviews."""


@dataclass(frozen=True, eq=False)
class Near:
    """Pairs of rows by falling cosine.

    Attributes:
        first: int64 [pairs].
        second: int64 [pairs].
        cosine: float32 [pairs].
        count: pairs that are close enough, those past `MOST` included.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    cosine: NDArray[np.float32]
    count: int


def near(one: Features, other: Features | None, angle: float, device: torch.device | str = "cpu") -> Near:
    """The pairs of rows at most ``angle`` apart: of two sets, or of one where ``other`` is None.

    Args:
        one: float32 [rows, dimension], unit rows; rows of zeros are near nothing.
        other: likewise; None: every pair of ``one`` once.
        angle: degrees, below 90.
        device: where the products are taken; all rows must fit there.
    """
    floor = float(np.cos(np.radians(angle)))
    highest, count = Impostors(MOST, 0.0), 0
    highest.floor = floor
    columns = torch.from_numpy(one if other is None else other).to(device)
    with progress("pairs", len(one), "rows") as advance:
        for start in range(0, len(one), TILE):
            rows = torch.from_numpy(one[start : start + TILE]).to(device)
            for left in range(start if other is None else 0, len(columns), TILE):
                cosines = rows @ columns[left : left + TILE].T
                close = cosines >= floor
                if other is None and left == start:
                    close = close.triu(1)
                first, second = close.nonzero(as_tuple=True)
                count += len(first)
                score = cosines[first, second].float().cpu().numpy()
                highest.add(score, (start + first).int().cpu().numpy(), (left + second).int().cpu().numpy())
            advance(len(rows), f"{count} close")
    highest.settle()
    order = np.argsort(-highest.score, kind="stable")[:MOST]
    return Near(highest.probe[order].astype(np.int64), highest.distractor[order].astype(np.int64),
                highest.score[order], count)
