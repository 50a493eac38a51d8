"""Subgraphs of a network within a budget: by gates, and the two that a search has to beat."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facekd.errors import ModelError
from facekd.models.architectures.resnet_pruned import LEAST, Layout

LEVELS = [step / 1000 for step in range(1001)]
"""How far a network is made smaller."""
NARROWEST, DROPPED = 0.25, 0.25
"""Random subgraphs: the least share of a layer's channels before scaling, and how often a block is dropped."""


@dataclass(frozen=True)
class Budget:
    """What a student may cost.

    Attributes:
        cost: of a layout: multiply-adds, parameters or milliseconds.
        limit: the most it may be.
    """

    cost: Callable[[Layout], float]
    limit: float

    def holds(self, layout: Layout) -> bool:
        """Whether a network of this layout keeps to it."""
        return self.cost(layout) <= self.limit


def largest(layout: Callable[[float], Layout], levels: Sequence[float], budget: Budget) -> tuple[float, Layout]:
    """The first level at which the network keeps to the budget, by bisection.

    Args:
        layout: of a level; the higher the level, the smaller the network.
        levels: rising.
        budget: what it may cost.

    Raises:
        ModelError: not even the last level does.
    """
    place = bisect_left(range(len(levels)), True, key=lambda index: budget.holds(layout(levels[index])))
    if place == len(levels):
        least = layout(levels[-1])
        raise ModelError(f"the smallest subgraph, {least}, costs {budget.cost(least):.4g}, more than the budget of "
                         f"{budget.limit:.4g}; set it higher")
    return levels[place], layout(levels[place])


def filled(found: Layout, full: Layout, budget: Budget) -> Layout:
    """A subgraph with all widths times one factor, but none above the network's: the last to go may leave room."""
    most = max(full.counts) / LEAST
    return largest(lambda level: scaled(found, most ** (1 - level), full), LEVELS, budget)[1]


def uniform(full: Layout, budget: Budget) -> Layout:
    """The network with all widths times one factor."""
    return largest(lambda level: scaled(full, 1 - level, full), LEVELS, budget)[1]


def random_subgraph(full: Layout, budget: Budget, seed: int) -> Layout:
    """A random subgraph: every width's share uniform in [0.25, 1], every fourth block dropped, then all widths scaled.

    Draws whose blocks, at full width, would not use up the budget are drawn again.

    Raises:
        ModelError: a hundred draws gave none.
    """
    rng = np.random.default_rng(seed)
    for _ in range(100):
        stays = [True] * 4 + [not full.droppable(stage, block) or rng.random() >= DROPPED
                              for stage, inner in enumerate(full.inner) for block in range(len(inner))]
        drawn = full.like([count if one else 0 for count, one in zip(full.counts, stays, strict=True)])
        shares = rng.uniform(NARROWEST, 1, len(stays))
        if not budget.holds(drawn):
            break
    else:
        raise ModelError(f"no random subgraph of {full} uses up {budget.limit:.4g} in 100 draws; set the budget lower")
    return largest(lambda level: scaled(drawn, (1 - level) / NARROWEST, full, shares), LEVELS, budget)[1]


def scaled(layout: Layout, factor: float, most: Layout, shares: Sequence[float] | NDArray[np.float64] = ()) -> Layout:
    """A layout with its widths times ``factor``, and each times its own share where given; at least `LEAST`.

    Args:
        layout: whose dropped blocks stay dropped.
        factor: on all widths.
        most: no width above its; where its stem is the first stage's, it stays so.
        shares: as `Layout.counts` orders them.
    """
    each = shares if len(shares) else [1.0] * len(layout.counts)
    counts = [min(limit, max(LEAST, round(count * factor * share))) if count else 0
              for count, limit, share in zip(layout.counts, most.counts, each, strict=True)]
    if most.droppable(0, 0):
        counts[0] = counts[1]
    return layout.like(counts)
