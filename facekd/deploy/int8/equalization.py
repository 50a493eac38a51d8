"""Cross-layer equalization: an equal network whose channels use the whole range of an int8 tensor.

An int8 file has one range for all channels of a tensor, and a channel with small values is rounded to a few steps of
it. Channels are divided by a factor where they are written and multiplied by it where they are read (Nagel et al.,
Data-Free Quantization Through Weight Equalization and Bias Correction, ICCV 2019); PReLU and ReLU let positive factors
through. The factors balance values against the weights that read them (Xiao et al., SmoothQuant, ICML 2023).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from facekd.deploy.source import ExportSource
from facekd.errors import ModelError
from facekd.models.graph.description import INPUT, Node
from facekd.models.graph.trace import trace_layers

BATCH_SIZE = 16
SMALLEST = 1e-4
"""The smallest range of a channel, as a share of the largest one: smaller ones are taken for this."""
WRITERS = ("convolution", "linear", "batchnorm")
CARRIERS = ("prelu", "relu", "add", "pool", "flatten")
"""The layers that let a positive factor of a channel through."""


def equalize(source: ExportSource) -> ExportSource:
    """Return a source with an equal network that loses less in int8; the source itself if its network has no graph.

    Args:
        source: the float network, with calibration crops, which measure the values of channels; it is not changed.

    Raises:
        ExportError: there are no calibration crops.
    """
    crops = source.require_calibration("equalized")
    network = copy.deepcopy(source.network)
    try:
        nodes, modules = trace_layers(network)
    except ModelError:
        return source
    layers = {node.name: modules[node.name] if node.name in modules else node.build() for node in nodes}
    if len({id(module) for module in modules.values()}) < len(modules):
        return source  # a layer that is called twice cannot have two factors
    pixels = network.preprocess(torch.from_numpy(crops))
    ranges = _channel_ranges(nodes, layers, pixels)
    for group in _scale_groups(nodes):
        _apply(group, _factors(group, layers, ranges), layers)
    return replace(source, network=network)


@dataclass
class _ScaleGroup:
    """Channels that have one factor each, because the layers between let it through.

    Attributes:
        writers: the layers whose outputs these channels are.
        readers: the layers that mix these channels into others, or filter each of them.
        tensors: the names of the nodes whose outputs are rounded to int8: those of the writers, and what readers read.
        is_fixed: whether no factor is possible.
    """

    writers: list[Node] = field(default_factory=list)
    readers: list[Node] = field(default_factory=list)
    tensors: list[str] = field(default_factory=list)
    is_fixed: bool = False


def _scale_groups(nodes: Sequence[Node]) -> list[_ScaleGroup]:
    """Return the groups that have a factor."""
    groups = {INPUT: _ScaleGroup(is_fixed=True)}
    for node in nodes:
        sources = [groups[name] for name in node.inputs]
        if node.layer in CARRIERS:
            group = _merge(groups, sources)
        else:
            group = _ScaleGroup([node], tensors=[node.name])
            if node.layer in ("convolution", "linear") and (_is_dense(node) or _is_depthwise(node)):
                sources[0].readers.append(node)
                sources[0].tensors.append(node.inputs[0])
            else:
                sources[0].is_fixed = True
            group.is_fixed = node.layer not in WRITERS
        groups[node.name] = group
    groups[nodes[-1].name].is_fixed = True
    unique = {id(group): group for group in groups.values()}.values()
    return [group for group in unique if not group.is_fixed and group.readers]


def _merge(groups: dict[str, _ScaleGroup], parts: Sequence[_ScaleGroup]) -> _ScaleGroup:
    first, *others = parts
    for other in others:
        if other is not first:
            first.writers += other.writers
            first.readers += other.readers
            first.tensors += other.tensors
            first.is_fixed |= other.is_fixed
            groups.update({name: first for name, group in groups.items() if group is other})
    return first


def _is_dense(node: Node) -> bool:
    return bool(node.options.get("groups", 1) == 1)


def _is_depthwise(node: Node) -> bool:
    return bool(node.options.get("groups") == node.options["inputs"] == node.options["outputs"])


@torch.no_grad()
def _channel_ranges(nodes: Sequence[Node], layers: Mapping[str, nn.Module], pixels: Tensor) -> dict[str, Tensor]:
    """Return the largest absolute value of each channel of each node's output over all images, float [channels]."""
    ranges: dict[str, Tensor] = {}
    for batch in torch.split(pixels, BATCH_SIZE):
        values = {INPUT: batch}
        for node in nodes:
            values[node.name] = layers[node.name](*(values[name] for name in node.inputs))
            largest = values[node.name].abs().transpose(0, 1).flatten(1).amax(1)
            ranges[node.name] = torch.maximum(ranges.get(node.name, largest), largest)
    return ranges


def _factors(group: _ScaleGroup, layers: Mapping[str, nn.Module], ranges: Mapping[str, Tensor]) -> Tensor:
    """Return the factor of each channel, float [channels], with a geometric mean of 1.

    Depthwise weights have a scale for each channel, so the values alone decide. Weights that mix channels have one
    for each output: the factor is the root of the ratio of values and weights.
    """
    channels = len(_weight(layers[group.writers[0].name]))
    shares = [ranges[name].view(channels, -1).amax(1) for name in group.tensors]
    factors = torch.stack([share / share.max().clamp_min(torch.finfo().tiny) for share in shares]).amax(0)
    factors = factors.clamp_min(SMALLEST)
    mixing = [_weight(layers[node.name]) for node in group.readers if _is_dense(node)]
    if mixing:
        weights = torch.stack([_input_shares(weight, channels) for weight in mixing]).amax(0)
        factors = (factors / weights.clamp_min(SMALLEST)).sqrt()
    return factors / factors.log().mean().exp()


def _input_shares(weight: Tensor, channels: int) -> Tensor:
    """Return the largest share of each input channel in the range of an output channel's weights."""
    rows = weight.flatten(1).abs()
    shares = rows / rows.amax(1, keepdim=True).clamp_min(torch.finfo().tiny)
    return shares.amax(0).view(channels, -1).amax(1)


@torch.no_grad()
def _apply(group: _ScaleGroup, factors: Tensor, layers: Mapping[str, nn.Module]) -> None:
    """Divide the channels by their factors where they are written, and multiply the weights that read them."""
    for node in group.writers:
        layer = layers[node.name]
        for value in (_weight(layer), getattr(layer, "bias", None)):
            if value is not None:
                value.div_(factors.view(-1, *[1] * (value.ndim - 1)))
    for node in group.readers:
        weight = _weight(layers[node.name])
        if _is_depthwise(node) and not _is_dense(node):
            weight.mul_(factors.view(-1, 1, 1, 1))
        else:
            repeated = factors.repeat_interleave(weight.shape[1] // len(factors))
            weight.mul_(repeated.view(1, -1, *[1] * (weight.ndim - 2)))


def _weight(layer: nn.Module) -> Tensor:
    weight = layer.weight
    assert isinstance(weight, Tensor)
    return weight
