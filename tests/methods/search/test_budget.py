from __future__ import annotations

import pytest

from facekd.errors import ModelError
from facekd.methods.search.budget import (
    SHRINK_LEVELS,
    Budget,
    largest_within_budget,
    random_subgraph,
    scale_widths,
    uniform_subgraph,
    widen_to_budget,
)
from facekd.models.architectures.resnet_pruned import MIN_CHANNELS, Layout

FULL = Layout.parse("16/16:16,16,16/32:32,32,32/64:64,64,64")
WIDE = Layout.parse("32/64:64,64/128:128,128/256:256,256")


def macs(layout: Layout) -> float:
    return layout.count_macs(32, 10)


def budget_of(full: Layout = FULL, share: float = 0.5) -> Budget:
    """A share of the multiply-adds of a network."""
    return Budget(macs, share * macs(full))


def test_the_largest_network_within_the_budget_is_found() -> None:
    budget = budget_of()
    level, layout = largest_within_budget(lambda level: scale_widths(FULL, 1 - level, FULL), SHRINK_LEVELS, budget)
    next_larger = scale_widths(FULL, 1 - level + 0.001, FULL)
    assert budget.allows(layout) and not budget.allows(next_larger)


def test_a_budget_below_the_smallest_network_is_refused() -> None:
    with pytest.raises(ModelError, match="the smallest subgraph, 8/8:8,8,8/8:8,8,8/8:8,8,8, costs"):
        uniform_subgraph(FULL, budget_of(share=0.01))


def test_uniform_width_is_one_factor() -> None:
    assert str(uniform_subgraph(FULL, budget_of())) == "11/11:11,11,11/23:23,23,23/45:45,45,45"
    wide = uniform_subgraph(WIDE, budget_of(WIDE))
    assert max(abs(now / before - wide.channel_counts[-1] / 256)
               for now, before in zip(wide.channel_counts, WIDE.channel_counts, strict=True)) < 0.02


@pytest.mark.parametrize("full", [FULL, WIDE])
@pytest.mark.parametrize("share", [0.25, 0.5, 0.75])
def test_random_subgraphs_use_up_the_budget(full: Layout, share: float) -> None:
    budget = budget_of(full, share)
    layouts = [random_subgraph(full, budget, seed) for seed in range(20)]
    assert all(0.95 * budget.limit < macs(layout) <= budget.limit for layout in layouts)
    assert len(set(layouts)) == 20
    for layout in layouts:
        assert Layout.parse(str(layout)) == layout
        assert all(now <= before for now, before in zip(layout.channel_counts, full.channel_counts, strict=True))
        assert min(count for count in layout.channel_counts if count) >= MIN_CHANNELS


def test_some_blocks_of_random_subgraphs_are_dropped() -> None:
    layouts = [random_subgraph(FULL, budget_of(), seed) for seed in range(100)]
    dropped = sum(channels == 0 for layout in layouts for stage in layout.inner for channels in stage)
    assert 100 < dropped < 220  # a quarter of 7 blocks, minus the draws that leave too little


def test_a_seed_draws_the_same_subgraph_again() -> None:
    first, again, other = (random_subgraph(FULL, budget_of(), seed) for seed in (3, 3, 4))
    assert first == again != other


def test_a_budget_that_no_random_subgraph_uses_up_is_refused() -> None:
    with pytest.raises(ModelError, match="no random subgraph of 16/16"):
        random_subgraph(FULL, Budget(macs, macs(FULL)), 0)


def test_what_a_dropped_block_leaves_is_given_to_the_widths() -> None:
    subgraph = Layout.parse("10/10:10,-,10/20:20,-,20/40:40,-,40")
    widened = widen_to_budget(subgraph, FULL, budget_of())
    assert macs(subgraph) < 0.6 * budget_of().limit and 0.97 * budget_of().limit < macs(widened) <= budget_of().limit
    assert [count == 0 for count in widened.channel_counts] == [count == 0 for count in subgraph.channel_counts]


def test_no_width_grows_beyond_the_networks() -> None:
    subgraph = Layout.parse("16/16:16,-,-/32:32,-,-/64:64,-,-")
    assert widen_to_budget(subgraph, FULL, budget_of()) == subgraph
