"""Layouts within a budget: the result of a search, and the uniform and random controls that it is compared with."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from facekd.errors import ModelError
from facekd.models.architectures.resnet_pruned import MIN_CHANNELS, Layout

SHRINK_LEVELS = [step / 1000 for step in range(1001)]
"""The levels by which a network is made smaller: 0 is the largest network, 1 the smallest."""
MIN_WIDTH_SHARE = 0.25
"""Random subgraphs: the smallest share of a layer's channels before scaling."""
DROP_PROBABILITY = 0.25
"""Random subgraphs: the probability that a block is dropped."""
MAX_DRAWS = 100
"""Random subgraphs: the number of draws before the search for one is given up."""


@dataclass(frozen=True)
class Budget:
    """The cost limit of a student.

    Attributes:
        cost: maps a layout to its cost: multiply-adds, parameters or milliseconds.
        limit: the largest cost.
    """

    cost: Callable[[Layout], float]
    limit: float

    def allows(self, layout: Layout) -> bool:
        """Return whether the cost of a layout is within the limit."""
        return self.cost(layout) <= self.limit


def largest_within_budget(layout: Callable[[float], Layout], levels: Sequence[float], budget: Budget
                          ) -> tuple[float, Layout]:
    """Find the first level at which the network is within the budget, by bisection.

    Args:
        layout: maps a level to a layout; the higher the level, the smaller the network.
        levels: the levels in ascending order.
        budget: the budget.

    Raises:
        ModelError: the network of the last level exceeds the budget.
    """
    index = bisect_left(range(len(levels)), True, key=lambda index: budget.allows(layout(levels[index])))
    if index == len(levels):
        smallest = layout(levels[-1])
        raise ModelError(f"the smallest subgraph, {smallest}, costs {budget.cost(smallest):.4g}, more than the budget "
                         f"of {budget.limit:.4g}; set it higher")
    return levels[index], layout(levels[index])


def widen_to_budget(subgraph: Layout, full: Layout, budget: Budget) -> Layout:
    """Multiply all widths of a subgraph by the largest factor within the budget; no width exceeds the full network's.

    The last channel or block that a search removes may leave a part of the budget unused.
    """
    max_factor = max(full.channel_counts) / MIN_CHANNELS
    _, layout = largest_within_budget(lambda level: scale_widths(subgraph, max_factor ** (1 - level), full),
                                      SHRINK_LEVELS, budget)
    return layout


def uniform_subgraph(full: Layout, budget: Budget) -> Layout:
    """Multiply all widths of the network by the largest factor within the budget."""
    return largest_within_budget(lambda level: scale_widths(full, 1 - level, full), SHRINK_LEVELS, budget)[1]


def random_subgraph(full: Layout, budget: Budget, seed: int) -> Layout:
    """Draw a random subgraph within the budget.

    The share of every width is uniform in [0.25, 1], every fourth block is dropped, then all widths are scaled to the
    budget. A draw whose blocks cannot use up the budget even at full width is repeated.

    Raises:
        ModelError: no draw of ``MAX_DRAWS`` uses up the budget.
    """
    rng = np.random.default_rng(seed)
    for _ in range(MAX_DRAWS):
        inner = [0 if full.is_droppable(stage, block) and rng.random() < DROP_PROBABILITY else channels
                 for stage, counts in enumerate(full.inner) for block, channels in enumerate(counts)]
        draw = full.with_channel_counts([full.stem, *full.widths, *inner])
        shares = rng.uniform(MIN_WIDTH_SHARE, 1, len(draw.channel_counts))
        if not budget.allows(draw):
            break
    else:
        raise ModelError(f"no random subgraph of {full} uses up {budget.limit:.4g} in {MAX_DRAWS} draws; set the "
                         "budget lower")
    _, layout = largest_within_budget(lambda level: scale_widths(draw, (1 - level) / MIN_WIDTH_SHARE, full, shares),
                                      SHRINK_LEVELS, budget)
    return layout


def scale_widths(layout: Layout, factor: float, full: Layout, shares: Sequence[float] | NDArray[np.float64] = ()
                 ) -> Layout:
    """Multiply the widths of a layout by ``factor`` and by shares of their own; at least ``MIN_CHANNELS`` remain.

    Args:
        layout: the layout; its dropped blocks stay dropped.
        factor: the factor of all widths.
        full: the limit of all widths; if its stem equals its first stage, both stay equal.
        shares: further factors in the order of `Layout.channel_counts`; none means 1.
    """
    if len(shares) == 0:
        shares = [1.0] * len(layout.channel_counts)
    counts = [min(limit, max(MIN_CHANNELS, round(count * factor * share))) if count else 0
              for count, limit, share in zip(layout.channel_counts, full.channel_counts, shares, strict=True)]
    scaled = layout.with_channel_counts(counts)
    return replace(scaled, stem=scaled.widths[0]) if full.is_droppable(0, 0) else scaled
