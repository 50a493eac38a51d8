from __future__ import annotations

import json

import pytest
import torch

from facekd.errors import ModelError
from facekd.models.architectures.graph import GraphNetwork
from facekd.models.feature_extractor import FeatureExtractor
from facekd.models.registry import create

CONVOLUTION = ["first", "convolution", ["input"], {"inputs": 3, "outputs": 8, "kernel": 3, "stride": 2, "padding": 1}]
HEAD = [["mean", "pool", ["sum"], {}], ["vector", "flatten", ["mean"], {}],
        ["embedding", "linear", ["vector"], {"inputs": 8, "outputs": 4}]]
NODES = json.dumps([CONVOLUTION, ["active", "relu", ["first"], {}], ["sum", "add", ["active", "first"], {}], *HEAD])


def test_layers_are_computed_in_the_order_of_the_graph() -> None:
    network = create("graph", size=32, outputs=4, nodes=NODES)
    images = torch.randn(2, 3, 32, 32)
    maps = network.get_submodule("layers.first")(images)
    expected = network.get_submodule("layers.embedding")((maps + maps.relu()).mean((2, 3)))
    torch.testing.assert_close(network(images), expected)


def test_its_stages_are_the_maps_before_their_shape_changes() -> None:
    network = create("graph", size=32, outputs=4, nodes=NODES)
    assert isinstance(network, GraphNetwork)
    assert (network.stages, network.final_layer) == (("layers.sum", "layers.mean"), "layers.embedding")
    output = FeatureExtractor(network)(torch.randn(2, 3, 32, 32))
    assert [tuple(feature_map.shape) for feature_map in output.feature_maps] == [(2, 8, 16, 16), (2, 8, 1, 1)]
    assert network.shapes["first"] == (8, 16, 16)


@pytest.mark.parametrize(("outputs", "nodes", "message"), [
    (5, NODES, r"its last node gives \[4\] an image, not \[5\]"),
    (8, json.dumps([["only", "linear", ["input"], {"inputs": 8, "outputs": 8}]]), "only does not fit its inputs"),
    (8, json.dumps([CONVOLUTION]), r"its last node gives \[8, 16, 16\] an image, not \[8\]"),
])
def test_layers_that_do_not_fit_are_refused(outputs: int, nodes: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        create("graph", size=32, outputs=outputs, nodes=nodes)
