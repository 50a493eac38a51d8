from __future__ import annotations

import pytest
import torch

from facekd.methods.pruning.reconstruction import reconstruct
from facekd.models.architectures.graph import GraphNetwork
from facekd.models.graph.channels import remove_channels
from tests.methods.pruning.networks import bottleneck_network, random_images


def error(part: GraphNetwork, network: GraphNetwork) -> float:
    pixels = network.preprocess(random_images(200))
    with torch.no_grad():
        return float((part(pixels) - network(pixels)).square().mean() / network(pixels).square().mean())


def test_a_removed_channel_that_others_replace_costs_nothing() -> None:
    """Channel 1 is twice channel 0, so that the least-squares solution gives its weights to channel 0."""
    network = bottleneck_network()
    with torch.no_grad():
        for name in ("expand", "depthwise"):
            network.layers[name].weight[1] = 2 * network.layers[name].weight[0] if name == "expand" else (
                network.layers[name].weight[0])
            network.layers[name].bias[1] = 2 * network.layers[name].bias[0]
        network.layers["project"].weight[:, :2] *= 5
    kept = {"expand": torch.tensor([0, *range(2, 32)])}
    part = remove_channels(network, kept)
    before = error(part, network)
    reconstruct(part, network, kept, random_images(200))
    assert before > 1e-3 and error(part, network) < 1e-2 * before


@pytest.mark.parametrize("group", ["expand", "stem"])
def test_the_outputs_come_nearer_to_those_of_the_network(group: str) -> None:
    network = bottleneck_network()
    size = 32 if group == "expand" else 16
    kept = {group: torch.arange(0, size, 2)}
    part = remove_channels(network, kept)
    before = error(part, network)
    reconstruct(part, network, kept, random_images(200))
    assert error(part, network) < 0.7 * before


def test_a_network_that_lost_nothing_keeps_its_weights() -> None:
    network = bottleneck_network()
    part = remove_channels(network, {})
    reconstruct(part, network, {}, random_images(200))
    for name, value in part.state_dict().items():
        torch.testing.assert_close(value, network.state_dict()[name], rtol=1e-4, atol=1e-5)
