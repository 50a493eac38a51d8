from __future__ import annotations

import pytest
import torch

from facekd.errors import ModelError
from facekd.methods.pruning.selection import Limit, mac_terms, network_cost, select_channels, weight_terms
from facekd.models.architectures.graph import GraphNetwork
from facekd.models.complexity import count_macs
from facekd.models.graph.channels import remove_channels
from tests.methods.pruning.networks import SIZE, bottleneck_network

SALIENCY = {"stem": torch.arange(16.0) + 1, "expand": torch.arange(32.0) + 1}


def mac_limit(network: GraphNetwork, share: float) -> Limit:
    return Limit(mac_terms(network), share * network_cost(network, mac_terms(network)))


def test_costs_are_those_of_the_network() -> None:
    network = bottleneck_network()
    assert network_cost(network, mac_terms(network)) == count_macs(network, SIZE)
    weights = [network.layers[node.name].get_parameter("weight").numel() for node in network.nodes
               if node.layer in ("convolution", "linear")]
    assert network_cost(network, weight_terms(network)) == sum(weights)


def test_the_part_is_within_the_budget_and_nearly_uses_it_up() -> None:
    network = bottleneck_network(64, 128)
    limit = mac_limit(network, 0.75)
    saliency = {"stem": torch.arange(64.0) + 1, "expand": torch.arange(128.0) + 1}
    part = remove_channels(network, select_channels(network, saliency, [limit]))
    assert 0.9 * limit.value < count_macs(part, SIZE) <= limit.value


def test_all_budgets_are_met() -> None:
    network = bottleneck_network(64, 128)
    weights = Limit(weight_terms(network), 0.5 * network_cost(network, weight_terms(network)))
    saliency = {"stem": torch.arange(64.0) + 1, "expand": torch.arange(128.0) + 1}
    part = remove_channels(network, select_channels(network, saliency, [mac_limit(network, 0.9), weights]))
    assert network_cost(part, weight_terms(part)) <= weights.value
    assert count_macs(part, SIZE) <= 0.9 * count_macs(network, SIZE)


def test_the_most_salient_channels_remain_in_their_order() -> None:
    network = bottleneck_network()
    kept = select_channels(network, {**SALIENCY, "stem": torch.full((16,), 1e9)}, [mac_limit(network, 0.8)])
    assert kept["stem"].tolist() == list(range(16))
    assert kept["expand"].tolist() == list(range(32 - len(kept["expand"]), 32))


def test_a_budget_below_the_smallest_part_is_refused() -> None:
    network = bottleneck_network()
    with pytest.raises(ModelError, match=r"its smallest part has a cost of .*, more than the budget of 1e\+03"):
        select_channels(network, SALIENCY, [Limit(mac_terms(network), 1000)])
