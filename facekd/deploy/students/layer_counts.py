"""What of a network decides the size of its exported file and its multiply-adds, counted in one forward pass."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from facekd.models.complexity import count_parameters
from facekd.models.registry import Network, create
from facekd.utils.threads import one_torch_thread

NORMALIZATIONS = (nn.BatchNorm1d, nn.BatchNorm2d)


@dataclass
class LayerCounts:
    """Counts of a network as export writes it: batch norms are folded into the layer before them.

    Attributes:
        parameters: parameters of the network, as `facekd.models.complexity.count_parameters`.
        macs: multiply-adds of convolutions and linear layers for one image.
        weights: weights of convolutions and linear layers, without biases.
        channels: output channels of these layers, each with a bias.
        layers: number of these layers.
        slopes: numbers that the PReLUs store in the form of `facekd.deploy.prelu`.
        prelus: number of PReLUs.
        norm_channels: channels of the batch norms that no layer precedes; each stores four numbers.
        norms: number of these batch norms.
    """

    parameters: int = 0
    macs: int = 0
    weights: int = 0
    channels: int = 0
    layers: int = 0
    slopes: int = 0
    prelus: int = 0
    norm_channels: int = 0
    norms: int = 0


def count_layers(name: str, size: int, embedding: int, **options: Any) -> LayerCounts:
    """Count the layers of an architecture; torch's random numbers are left as they are.

    Args:
        name: an architecture of the registry.
        size: side of the input in pixels.
        embedding: length of the embedding.
        options: options of the architecture.

    Raises:
        ModelError: see `facekd.models.registry.create`.
    """
    with torch.random.fork_rng(devices=[]):
        network = create(name, size=size, outputs=embedding, **options).eval()
    counter = _LayerCounter(network)
    with torch.inference_mode(), one_torch_thread():
        network(torch.zeros(1, 3, size, size))
    return counter.counts


def extrapolate_counts(small: LayerCounts, large: LayerCounts, sizes: tuple[int, int], size: int) -> LayerCounts:
    """Return the counts at a third size.

    All strides divide all sizes, and weights that depend on the size cover the last map as a whole. Every count
    therefore is ``a + b size^2``, and two sizes decide a and b exactly.

    Args:
        small: the counts at ``sizes[0]``.
        large: the counts at ``sizes[1]``.
        sizes: two sides of the input in pixels.
        size: the third side; all are multiples of the networks' total stride.
    """
    first, second, third = sizes[0] ** 2, sizes[1] ** 2, size**2
    return LayerCounts(**{
        key: count + (vars(large)[key] - count) * (third - first) // (second - first)
        for key, count in vars(small).items()
    })


class _LayerCounter:
    """Counts the layers of a network while an image passes through it."""

    def __init__(self, network: Network) -> None:
        self.counts = LayerCounts(parameters=count_parameters(network))
        self._foldable: Tensor | None = None  # the output of a layer that the next batch norm is folded into
        self._prelus_after_norm = {
            second for block in network.modules() if isinstance(block, nn.Sequential)
            for first, second in pairwise(block) if isinstance(first, nn.BatchNorm2d) and isinstance(second, nn.PReLU)
        }
        for module in network.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                module.register_forward_hook(self._count_weights)
            elif isinstance(module, NORMALIZATIONS):
                module.register_forward_hook(self._count_norm)
            elif isinstance(module, nn.PReLU):
                module.register_forward_hook(self._count_prelu)

    def _count_weights(self, module: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        self.counts.layers += 1
        self.counts.weights += module.weight.numel()
        self.counts.channels += output.shape[1]
        self.counts.macs += module.weight.numel() * math.prod(output.shape[2:])
        self._foldable = output

    def _count_norm(self, module: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        if inputs[0] is not self._foldable:
            self.counts.norms += 1
            self.counts.norm_channels += module.num_features

    def _count_prelu(self, module: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        self.counts.prelus += 1
        self.counts.slopes += module.num_parameters * (1 if module in self._prelus_after_norm else 2)
