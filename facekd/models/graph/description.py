"""The graph of a network as plain values, so that a file needs no code to describe a network of any shape."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from facekd.config.options import resolve_options
from facekd.errors import ModelError, did_you_mean
from facekd.io.documents import parse_json
from facekd.models.graph.layers import LAYERS
from facekd.text import short_repr

INPUT = "input"
"""The name of the image among the inputs of nodes."""
MAX_NODES = 10_000
MAX_SIZE = 65_536
"""The largest whole number in a description, e.g. of channels: larger ones only exhaust the memory."""


@dataclass(frozen=True)
class Node:
    """One layer and where its inputs come from.

    Attributes:
        name: a name that no other node has; letters, digits and underscores.
        layer: a key of `facekd.models.graph.layers.LAYERS`.
        inputs: the names of the nodes whose outputs it takes, or ``INPUT``.
        options: all options of the layer.
    """

    name: str
    layer: str
    inputs: tuple[str, ...]
    options: Mapping[str, Any]

    def build(self) -> nn.Module:
        """Return the layer with fresh weights.

        Raises:
            ModelError: its options do not fit together.
        """
        try:
            return LAYERS[self.layer].create(**self.options)
        except ValueError as error:
            raise ModelError(f"graph: {self.name}: {error}") from error


def dump_graph(nodes: Sequence[Node]) -> str:
    """Return nodes as a text that `parse_graph` reads: a JSON list of ``[name, layer, inputs, options]``.

    Options that have their default value are left out.
    """
    records = []
    for node in nodes:
        defaults = resolve_options(LAYERS[node.layer].create, {}, node.name)
        options = {key: value for key, value in node.options.items() if value != defaults[key]}
        records.append([node.name, node.layer, list(node.inputs), options])
    return json.dumps(records, separators=(",", ":"))


def parse_graph(text: str) -> tuple[Node, ...]:
    """Parse the text of `dump_graph`. The last node is the output.

    Raises:
        ModelError: the text is no list of nodes, names an unknown layer, option or input, or a number is too large.
    """
    records = parse_json(text, "the description of the graph", ModelError, remedy="read the ONNX file again")
    if not isinstance(records, list) or not 0 < len(records) <= MAX_NODES:
        raise ModelError(f"graph: a list of 1 to {MAX_NODES} nodes is needed, not {short_repr(records)}")
    nodes: list[Node] = []
    known = {INPUT}
    for record in records:
        node = _parse_node(record, known)
        known.add(node.name)
        nodes.append(node)
    return tuple(nodes)


def _parse_node(record: Any, known: set[str]) -> Node:
    match record:
        case [str(name), str(layer), list(inputs), dict(options)] if all(isinstance(item, str) for item in inputs):
            pass
        case _:
            raise ModelError(f"graph: a node is [name, layer, inputs, options], not {short_repr(record)}")
    if not name.isidentifier() or name in known:
        raise ModelError(f"graph: {short_repr(name)} cannot be the name of a further node")
    if layer not in LAYERS:
        raise ModelError(f"graph: {name}: unknown layer {short_repr(layer)}: {did_you_mean(layer, list(LAYERS))}")
    if len(inputs) != LAYERS[layer].inputs or not set(inputs) <= known:
        raise ModelError(f"graph: {name} needs {LAYERS[layer].inputs} earlier nodes, not {short_repr(inputs)}")
    resolved = _resolve(LAYERS[layer].create, options, f"graph: {name}")
    return Node(name, layer, tuple(inputs), resolved)


def _resolve(create: Callable[..., nn.Module], options: Mapping[str, Any], owner: str) -> dict[str, Any]:
    resolved = resolve_options(create, options, owner)
    for key, value in resolved.items():
        if type(value) is int and value > MAX_SIZE:
            raise ModelError(f"{owner}: option '{key}' is {value}, more than {MAX_SIZE}")
    return resolved
