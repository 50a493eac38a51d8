"""Which channels of a graph exist only together, and networks without some of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from facekd.models.architectures.graph import GraphNetwork
from facekd.models.graph.description import INPUT, Node, dump_graph
from facekd.models.registry import create


@dataclass
class ChannelGroup:
    """Channels that can be removed only together, because sums and depthwise convolutions connect them.

    Attributes:
        size: the number of channels.
        writers: the convolutions and linear layers whose outputs these channels are.
        carriers: the layers that process each channel by itself: depthwise convolutions, normalizations, activations.
        readers: the convolutions and linear layers that mix these channels into others.
        outputs: the names of all nodes whose outputs have these channels.
        is_fixed: whether no channel can be removed: the image, the embedding, or an operand of a grouped convolution.
    """

    size: int
    writers: list[str] = field(default_factory=list)
    carriers: list[str] = field(default_factory=list)
    readers: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    is_fixed: bool = False

    @property
    def name(self) -> str:
        """The name of the first node with these channels; ``input`` for the image."""
        return self.outputs[0] if self.outputs else INPUT


def channel_groups(nodes: Sequence[Node]) -> list[ChannelGroup]:
    """Return all groups of channels of a graph, in the order of their first nodes; that of the image is the first."""
    groups = {INPUT: ChannelGroup(3, is_fixed=True)}
    for node in nodes:
        source = groups[node.inputs[0]]
        if _mixes_channels(node):
            group = ChannelGroup(int(node.options["outputs"]), writers=[node.name])
            source.readers.append(node.name)
            if node.options.get("groups", 1) != 1:
                source.is_fixed = group.is_fixed = True
        else:
            group = source
            for name in node.inputs[1:]:
                group = _merge(groups, group, groups[name])
            group.carriers.append(node.name)
        group.outputs.append(node.name)
        groups[node.name] = group
    groups[nodes[-1].name].is_fixed = True
    unique = list({id(group): group for group in groups.values()}.values())
    position = {node.name: index for index, node in enumerate(nodes)}
    for group in unique:
        for names in (group.writers, group.carriers, group.readers, group.outputs):
            names.sort(key=position.__getitem__)
    return unique


def _mixes_channels(node: Node) -> bool:
    """Return whether a node has new channels; a depthwise convolution has those of its input."""
    depthwise = node.options.get("groups", 1) == node.options.get("inputs") == node.options.get("outputs")
    return node.layer in ("convolution", "linear") and not (depthwise and node.layer == "convolution")


def _merge(groups: dict[str, ChannelGroup], first: ChannelGroup, second: ChannelGroup) -> ChannelGroup:
    """Unite two groups, in ``groups`` too."""
    if first is second:
        return first
    merged = ChannelGroup(
        first.size, first.writers + second.writers, first.carriers + second.carriers, first.readers + second.readers,
        first.outputs + second.outputs, first.is_fixed or second.is_fixed,
    )
    for name, group in groups.items():
        if group is first or group is second:
            groups[name] = merged
    return merged


def remove_channels(network: GraphNetwork, kept: Mapping[str, Tensor]) -> GraphNetwork:
    """Return a network without some channels; its outputs are those of the network in which these channels are 0.

    Args:
        network: the network, which is not changed.
        kept: by the name of a group, the indices of the channels that remain: int64 [channels], ascending.
            Groups that are not named keep all.

    Raises:
        ValueError: a group cannot lose channels.
    """
    state = {name: value.clone() for name, value in network.state_dict().items()}
    nodes = {node.name: node for node in network.nodes}
    for group in channel_groups(network.nodes):
        index = kept.get(group.name)
        if index is None:
            continue
        if group.is_fixed:
            raise ValueError(f"the channels of {group.name} cannot be removed")
        for name in (*group.writers, *group.carriers):
            nodes[name] = _select_outputs(nodes[name], state, index, group.size)
        for name in group.readers:
            nodes[name] = _select_inputs(nodes[name], state, index, group.size)
    spec = network.spec
    smaller = create("graph", size=spec.size, outputs=spec.outputs, normalization=spec.normalization,
                     nodes=dump_graph(list(nodes.values())))
    assert isinstance(smaller, GraphNetwork)
    smaller.load_state_dict(state)
    return smaller.train(network.training)


def _select_outputs(node: Node, state: dict[str, Tensor], index: Tensor, size: int) -> Node:
    """Keep the given channels of a layer's output, in ``state`` too."""
    for key in ("weight", "bias", "running_mean", "running_var"):
        name = f"layers.{node.name}.{key}"
        if name in state and len(state[name]) == size:  # a single slope belongs to all channels
            state[name] = state[name][index]
    changes = {key: len(index) for key in ("outputs", "channels") if node.options.get(key) == size}
    if node.options.get("groups", 1) != 1:
        changes |= {"inputs": len(index), "groups": len(index)}
    return replace(node, options={**node.options, **changes})


def _select_inputs(node: Node, state: dict[str, Tensor], index: Tensor, size: int) -> Node:
    """Keep the given channels of a layer's input, in ``state`` too; a flattened map has several values a channel."""
    name = f"layers.{node.name}.weight"
    weight = state[name]
    values = weight.shape[1] // size
    positions = (index[:, None] * values + torch.arange(values)).flatten()
    state[name] = weight[:, positions]
    return replace(node, options={**node.options, "inputs": len(positions)})
