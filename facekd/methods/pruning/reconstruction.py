"""Fit the weights of a network that lost channels to the maps of the full network, layer after layer.

Every layer that mixes channels is solved by least squares: its input are the maps of the smaller network, its target
are those of the full network. A layer whose output is added to another map also corrects the error of that map. This is
the reconstruction of He, Zhang and Sun (Channel Pruning, ICCV 2017) without their choice of channels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import unfold

from facekd.models.architectures.graph import GraphNetwork
from facekd.models.graph.channels import channel_groups
from facekd.models.graph.description import INPUT, Node

MAX_SAMPLES = 30_000
"""The number of positions of all maps that a layer is fitted to."""
MIN_SAMPLES = 10
"""The number of samples for each value of the input, below which a layer keeps its weights: a linear layer has only one
sample an image, and a fit to few samples is worse than none."""
RIDGE = 1e-3
"""The weight of the distance to the previous weights, in mean variances of the input."""
BATCH_SIZE = 64


@torch.no_grad()
def reconstruct(smaller: GraphNetwork, network: GraphNetwork, kept: Mapping[str, Tensor], images: Tensor, *,
                on_layer: Callable[[], None] = lambda: None) -> None:
    """Fit the weights of ``smaller`` in place.

    Args:
        smaller: the result of `remove_channels`, in evaluation mode on the CPU.
        network: the full network, in evaluation mode on the CPU.
        kept: what `remove_channels` was given.
        images: uint8 [N, size, size, 3] RGB; a few hundred are enough. Two or three maps of all images are in memory.
        on_layer: called after each node of the graph.
    """
    kept_of = {name: kept[group.name] for group in channel_groups(network.nodes) if group.name in kept
               for name in group.outputs}
    full = {INPUT: network.preprocess(images)}
    values = dict(full)
    generator = torch.Generator().manual_seed(0)

    def target(name: str) -> Tensor:
        return full[name][:, kept_of[name]] if name in kept_of else full[name]

    for position, node in enumerate(smaller.nodes):
        full[node.name] = _run(network.layers[node.name], [full[name] for name in node.inputs])
        layer = smaller.layers[node.name]
        if _is_fitted(node):
            wanted = target(node.name)
            for other in _summands(node.name, smaller.nodes):
                if other in values:
                    wanted = wanted + target(other) - values[other]
            _fit(layer, *_samples(layer, values[node.inputs[0]], wanted, generator))
        values[node.name] = _run(layer, [values[name] for name in node.inputs])
        needed = {name for later in smaller.nodes[position + 1 :] for name in later.inputs}
        for name in values.keys() - needed:
            del values[name], full[name]
        on_layer()


def _run(layer: nn.Module, inputs: Sequence[Tensor]) -> Tensor:
    """Return the output of a layer for all images, in batches."""
    batches = zip(*(torch.split(tensor, BATCH_SIZE) for tensor in inputs), strict=True)
    return torch.cat([layer(*batch) for batch in batches])


def _is_fitted(node: Node) -> bool:
    """Return whether a node mixes the channels of maps; the image itself is the same for both networks."""
    mixes = node.layer == "linear" or (node.layer == "convolution" and node.options.get("groups", 1) == 1)
    return mixes and node.inputs[0] != INPUT


def _summands(name: str, nodes: Sequence[Node]) -> list[str]:
    """Return the nodes that the only reader of a node adds to it."""
    readers = [node for node in nodes if name in node.inputs]
    if len(readers) != 1 or readers[0].layer != "add":
        return []
    return [other for other in readers[0].inputs if other != name]


def _samples(layer: nn.Module, values: Tensor, wanted: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return inputs and targets of a layer at random positions of all images: float64 [samples, values]."""
    if isinstance(layer, nn.Conv2d):
        assert not isinstance(layer.padding, str)
        count = wanted.shape[2] * wanted.shape[3]
        share = min(count, max(1, MAX_SAMPLES // len(values)))
        inputs, targets = [], []
        for image, target in zip(values, wanted, strict=True):  # other positions of each image, as faces are aligned
            positions = torch.randperm(count, generator=generator)[:share]
            columns = unfold(image[None], layer.kernel_size, padding=layer.padding, stride=layer.stride)[0]
            inputs.append(columns[:, positions].T)
            targets.append(target.flatten(1)[:, positions].T)
        values, wanted = torch.cat(inputs), torch.cat(targets)
    return values.double(), wanted.double()


def _fit(layer: nn.Module, values: Tensor, wanted: Tensor) -> None:
    """Solve the ridge regression of a layer around its present weights, with an intercept if it has a bias."""
    assert isinstance(layer, (nn.Conv2d, nn.Linear))
    if len(values) < MIN_SAMPLES * values.shape[1]:
        return
    weight = layer.weight.flatten(1).double()
    if layer.bias is not None:
        mean, wanted_mean = values.mean(0), wanted.mean(0)
        values, wanted = values - mean, wanted - wanted_mean
    gram = values.T @ values
    ridge = RIDGE * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype)
    change = torch.linalg.solve(gram + ridge, values.T @ (wanted - values @ weight.T)).T
    weight = weight + change
    layer.weight.copy_(weight.view(layer.weight.shape))
    if layer.bias is not None:
        layer.bias.copy_(wanted_mean - weight @ mean)
