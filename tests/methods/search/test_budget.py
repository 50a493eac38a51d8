from __future__ import annotations

import pytest

from facekd.errors import ModelError
from facekd.methods.search.budget import LEVELS, Budget, filled, largest, random_subgraph, scaled, uniform
from facekd.models.architectures.resnet_pruned import LEAST, Layout

FULL = Layout.parse("16/16:16,16,16/32:32,32,32/64:64,64,64")
WIDE = Layout.parse("32/64:64,64/128:128,128/256:256,256")


def macs(layout: Layout) -> float:
    return layout.macs(32, 10)


def half(full: Layout = FULL, share: float = 0.5) -> Budget:
    return Budget(macs, share * macs(full))


def test_the_largest_network_within_the_budget_is_found() -> None:
    budget = half()
    level, found = largest(lambda level: scaled(FULL, 1 - level, FULL), LEVELS, budget)
    before = scaled(FULL, 1 - level + 0.001, FULL)
    assert budget.holds(found) and not budget.holds(before)


def test_a_budget_below_the_smallest_network_is_refused() -> None:
    with pytest.raises(ModelError, match="the smallest subgraph, 8/8:8,8,8/8:8,8,8/8:8,8,8, costs"):
        uniform(FULL, half(share=0.01))


def test_uniform_width_is_one_factor() -> None:
    assert str(uniform(FULL, half())) == "11/11:11,11,11/23:23,23,23/45:45,45,45"
    wide = uniform(WIDE, half(WIDE))
    assert max(abs(now / before - wide.counts[-1] / 256)
               for now, before in zip(wide.counts, WIDE.counts, strict=True)) < 0.02


@pytest.mark.parametrize("full", [FULL, WIDE])
@pytest.mark.parametrize("share", [0.25, 0.5, 0.75])
def test_random_subgraphs_use_up_the_budget(full: Layout, share: float) -> None:
    budget = half(full, share)
    drawn = [random_subgraph(full, budget, seed) for seed in range(20)]
    assert all(0.95 * budget.limit < macs(layout) <= budget.limit for layout in drawn)
    assert len(set(drawn)) == 20
    for layout in drawn:
        assert Layout.parse(str(layout)) == layout
        assert all(now <= before for now, before in zip(layout.counts, full.counts, strict=True))
        assert min(count for count in layout.counts if count) >= LEAST


def test_some_blocks_of_random_subgraphs_are_dropped() -> None:
    places = [random_subgraph(FULL, half(), seed).counts[4:] for seed in range(100)]
    dropped = sum(count == 0 for counts in places for count in counts)
    assert 100 < dropped < 220  # a quarter of 7 blocks, less of those that leave too little


def test_a_seed_draws_the_same_subgraph_again() -> None:
    assert random_subgraph(FULL, half(), 3) == random_subgraph(FULL, half(), 3) != random_subgraph(FULL, half(), 4)


def test_where_nothing_random_uses_up_the_budget_it_is_said() -> None:
    with pytest.raises(ModelError, match="no random subgraph of 16/16"):
        random_subgraph(FULL, Budget(macs, macs(FULL)), 0)


def test_what_a_dropped_block_leaves_is_given_to_the_widths() -> None:
    found = Layout.parse("10/10:10,-,10/20:20,-,20/40:40,-,40")
    fuller = filled(found, FULL, half())
    assert macs(found) < 0.6 * half().limit and 0.97 * half().limit < macs(fuller) <= half().limit
    assert [count == 0 for count in fuller.counts] == [count == 0 for count in found.counts]


def test_no_width_grows_beyond_the_networks() -> None:
    found = Layout.parse("16/16:16,-,-/32:32,-,-/64:64,-,-")
    assert filled(found, FULL, half()) == found
