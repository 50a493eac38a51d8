from __future__ import annotations

import json
from typing import Any

import pytest

from facekd.errors import ModelError
from facekd.models.graph.description import dump_graph, parse_graph

CONVOLUTION = ["first", "convolution", ["input"], {"inputs": 3, "outputs": 8, "kernel": 3}]


def test_a_graph_is_preserved_by_its_text() -> None:
    nodes = parse_graph(json.dumps([CONVOLUTION, ["second", "relu", ["first"], {}],
                                    ["sum", "add", ["first", "second"], {}]]))
    assert parse_graph(dump_graph(nodes)) == nodes
    assert [node.layer for node in nodes] == ["convolution", "relu", "add"] and nodes[0].options["stride"] == 1


def test_options_with_their_default_are_not_written() -> None:
    nodes = parse_graph(json.dumps([[*CONVOLUTION[:3], {**CONVOLUTION[3], "stride": 1, "bias": True}]]))
    assert json.loads(dump_graph(nodes)) == [CONVOLUTION]


@pytest.mark.parametrize(("records", "message"), [
    ([], "a list of 1 to 10000 nodes is needed"), ({}, "a list of 1 to 10000 nodes"),
    ([["first", "relu", ["input"]]], r"a node is \[name, layer, inputs, options\]"),
    ([["first", "relu", [1], {}]], "a node is"),
    ([["a.b", "relu", ["input"], {}]], "cannot be the name"),
    ([["input", "relu", ["input"], {}]], "cannot be the name"),
    ([["first", "sigmoid", ["input"], {}]], "unknown layer 'sigmoid'"),
    ([["first", "relu", ["second"], {}]], "first needs 1 earlier nodes"),
    ([["first", "add", ["input"], {}]], "first needs 2 earlier nodes"),
    ([["first", "prelu", ["input"], {"size": 3}]], "unknown option 'size'"),
    ([["first", "prelu", ["input"], {"channels": "3"}]], "'channels' must be like 1"),
    ([["first", "prelu", ["input"], {"channels": 10**9}]], "more than 65536"),
])
def test_a_damaged_description_is_refused(records: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        parse_graph(json.dumps(records))


def test_a_text_that_is_no_json_is_refused() -> None:
    with pytest.raises(ModelError, match="the description of the graph cannot be read as JSON"):
        parse_graph("relu(input)")


def test_layers_that_cannot_be_built_name_their_node() -> None:
    (node,) = parse_graph(json.dumps([["first", "convolution", ["input"], {"inputs": 3, "outputs": 8, "groups": 2}]]))
    with pytest.raises(ModelError, match="graph: first: in_channels must be divisible by groups"):
        node.build()
