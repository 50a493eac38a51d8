from __future__ import annotations

from typing import Any

import pytest
import torch

from facekd.errors import ModelError
from facekd.models.architectures.graph import GraphNetwork
from facekd.models.complexity import count_macs, count_parameters
from facekd.models.graph.channels import channel_groups
from facekd.models.graph.trace import graph_from_network
from facekd.models.registry import create
from tests.models.graph.exports import SIZE, random_network

NETWORKS: list[tuple[str, dict[str, Any]]] = [
    ("mobilefacenet", {"width": 0.25}), ("iresnet18", {"width": 0.25}), ("mobilenetv2", {}),
    ("mobilenetv2", {"head": "gdc", "norm": True}), ("resnet8", {}), ("resnet_pruned", {}),
]


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(("name", "options"), NETWORKS)
def test_a_graph_of_a_network_has_equal_outputs(name: str, options: dict[str, Any], training: bool) -> None:
    network = random_network(name, **options).train(training)
    graph = graph_from_network(network)
    images = torch.randn(4, 3, SIZE, SIZE)
    with torch.no_grad():
        assert torch.equal(graph(images), network(images))
    assert count_macs(graph, SIZE) == count_macs(network, SIZE) and graph.training == training
    assert count_parameters(graph) == count_parameters(network)


def test_its_batch_norms_are_layers_that_follow_their_channels() -> None:
    graph = graph_from_network(random_network("iresnet18", width=0.25))
    norms = {node.name for node in graph.nodes if node.layer == "batchnorm"}
    assert norms and norms <= {name for group in channel_groups(graph.nodes) for name in group.carriers}


def test_a_graph_is_returned_as_it_is() -> None:
    network = create("graph", size=SIZE, outputs=8)
    assert isinstance(network, GraphNetwork) and graph_from_network(network) is network


def test_a_layer_that_graphs_do_not_have_is_named() -> None:
    with pytest.raises(ModelError, match=r"shufflenetv2 has a layer '.*', which a graph does not have"):
        graph_from_network(create("shufflenetv2", size=SIZE, outputs=8))
