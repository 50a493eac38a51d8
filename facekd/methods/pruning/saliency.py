"""How much the embedding changes if a channel is replaced by its mean, to first order.

For an image with the embedding e of unit length and a random direction v, the derivative of v.e by a gate on a channel
is the sum of (x - mean x) * d(v.e)/dx over the maps x that other layers read. The expectation of its square over v is
the squared change of e, and half of it the loss in cosine. A distance to the teacher has no derivative here, because
network and teacher are the same. The form follows the Taylor criterion of Molchanov et al. (CVPR 2019).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from facekd.models.architectures.graph import GraphNetwork
from facekd.models.graph.channels import channel_groups
from facekd.utils.functional import l2_normalize

BATCH_SIZE = 32


def channel_saliency(network: GraphNetwork, images: Tensor, *, seed: int = 0,
                     on_batch: Callable[[], None] = lambda: None) -> dict[str, Tensor]:
    """Return the mean squared change of the unit-length embedding for each channel that can be removed.

    Args:
        network: a network in evaluation mode on the CPU.
        images: uint8 [N, size, size, 3] RGB.
        seed: of the random directions.
        on_batch: called after each of `count_batches` parts of the work.

    Returns:
        float32 [channels] for each group that can lose channels, by the group's name.
    """
    groups = [group for group in channel_groups(network.nodes) if not group.is_fixed]
    readers = {reader: group.size for group in groups for reader in group.readers}
    batches = torch.split(images, BATCH_SIZE)
    generator = torch.Generator().manual_seed(seed)
    saliency = {group.name: torch.zeros(group.size) for group in groups}
    with _stored_inputs(network, list(readers)) as inputs:
        means = dict.fromkeys(readers, torch.zeros(()))
        with torch.no_grad():
            for batch in batches:
                network(network.preprocess(batch))
                for reader, size in readers.items():
                    means[reader] = means[reader] + _by_channel(inputs[reader], size).mean(2).sum(0) / len(images)
                on_batch()
        for batch in batches:
            embedding = l2_normalize(network(network.preprocess(batch).requires_grad_()))
            direction = torch.randn(embedding.shape, generator=generator)
            gradients = torch.autograd.grad((embedding * direction).sum(), [inputs[reader] for reader in readers])
            slopes = {reader: _gate_slope(inputs[reader], gradient, means[reader], readers[reader])
                      for reader, gradient in zip(readers, gradients, strict=True)}
            for group in groups:
                slope = torch.stack([slopes[reader] for reader in group.readers]).sum(0)
                saliency[group.name] += slope.square().sum(0) / len(images)
            on_batch()
    return saliency


def count_batches(images: Tensor) -> int:
    """Return the number of parts into which `channel_saliency` divides its work."""
    return 2 * math.ceil(len(images) / BATCH_SIZE)


def _gate_slope(values: Tensor, gradient: Tensor, mean: Tensor, size: int) -> Tensor:
    """Return the derivative of the output by a gate on each channel, float32 [N, channels]."""
    centered = _by_channel(values.detach(), size) - mean[:, None]
    return (centered * _by_channel(gradient, size)).sum(2)


def _by_channel(values: Tensor, size: int) -> Tensor:
    """Return maps, or flattened maps, as [N, channels, positions]."""
    return values.reshape(len(values), size, -1)


@contextmanager
def _stored_inputs(network: GraphNetwork, names: list[str]) -> Iterator[dict[str, Tensor]]:
    """Store the inputs of some layers in every forward pass inside the context."""
    inputs: dict[str, Tensor] = {}

    def store(name: str) -> torch.utils.hooks.RemovableHandle:
        def hook(module: nn.Module, arguments: tuple[Tensor, ...]) -> None:
            inputs[name] = arguments[0]

        return network.layers[name].register_forward_pre_hook(hook)

    handles = [store(name) for name in names]
    try:
        yield inputs
    finally:
        for handle in handles:
            handle.remove()
