from __future__ import annotations

import pytest
import torch

from facekd.errors import ModelError
from facekd.methods.pruning.selection import count_network_macs, select_channels
from facekd.models.complexity import count_macs
from facekd.models.graph.channels import remove_channels
from tests.methods.pruning.networks import SIZE, bottleneck_network

SALIENCY = {"stem": torch.arange(16.0) + 1, "expand": torch.arange(32.0) + 1}


def test_multiply_adds_are_those_of_the_network() -> None:
    network = bottleneck_network()
    assert count_network_macs(network) == count_macs(network, SIZE)


def test_the_part_is_within_the_budget_and_nearly_uses_it_up() -> None:
    network = bottleneck_network(64, 128)
    budget = 0.75 * count_network_macs(network)
    saliency = {"stem": torch.arange(64.0) + 1, "expand": torch.arange(128.0) + 1}
    part = remove_channels(network, select_channels(network, saliency, budget))
    assert 0.9 * budget < count_macs(part, SIZE) <= budget


def test_the_most_salient_channels_remain_in_their_order() -> None:
    network = bottleneck_network()
    kept = select_channels(network, {**SALIENCY, "stem": torch.full((16,), 1e9)}, 0.8 * count_network_macs(network))
    assert kept["stem"].tolist() == list(range(16))
    assert kept["expand"].tolist() == list(range(32 - len(kept["expand"]), 32))


def test_a_budget_below_the_smallest_part_is_refused() -> None:
    with pytest.raises(ModelError, match=r"are fewer than the .* of its smallest part"):
        select_channels(bottleneck_network(), SALIENCY, 1000)
