"""The layers that a graph can consist of, by name; each is created from whole numbers, floats and booleans only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

Channels = Literal["new", "same"]


class Add(nn.Module):
    """The sum of two tensors of the same shape."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Add two tensors [N, C, ...]."""
        return x + y


class Affine(nn.Module):
    """``x * weight + bias`` for every channel, as trainable parameters.

    Args:
        channels: the number of channels, or 1 for one factor and one summand of all channels.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, C, ...] to the same shape."""
        shape = (-1, *[1] * (x.ndim - 2))
        return x * self.weight.view(shape) + self.bias.view(shape)


@dataclass(frozen=True)
class Layer:
    """A kind of layer.

    Attributes:
        create: returns the layer with fresh weights; its keyword arguments are the options.
        inputs: the number of tensors it takes.
        channels: whether its output has new channels or those of its input.
    """

    create: Callable[..., nn.Module]
    inputs: int = 1
    channels: Channels = "same"


def convolution(*, inputs: int = 1, outputs: int = 1, kernel: int = 1, stride: int = 1, padding: int = 0,
                groups: int = 1, bias: bool = True) -> nn.Module:
    """Return a convolution with a square kernel."""
    if min(inputs, outputs, kernel, stride, groups) < 1:
        raise ValueError("channels, kernel, stride and groups of a convolution are at least 1")
    return nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=bias)


def linear(*, inputs: int = 1, outputs: int = 1, bias: bool = True) -> nn.Module:
    """Return a linear layer."""
    return nn.Linear(inputs, outputs, bias)


def batchnorm(*, channels: int = 1, eps: float = 1e-5, flat: bool = False) -> nn.Module:
    """Return a batch normalization of feature maps, or of vectors if ``flat``."""
    return nn.BatchNorm1d(channels, eps) if flat else nn.BatchNorm2d(channels, eps)


def prelu(*, channels: int = 1) -> nn.Module:
    """Return a PReLU with one slope for each channel, or one for all."""
    return nn.PReLU(channels)


def affine(*, channels: int = 1) -> nn.Module:
    """Return an `Affine`."""
    return Affine(channels)


def clip(*, low: float = -1e30, high: float = 1e30) -> nn.Module:
    """Return the limitation of all values to a range, e.g. 0 to 6 for ReLU6."""
    return nn.Hardtanh(low, high)


def relu() -> nn.Module:
    """Return a ReLU."""
    return nn.ReLU()


def add() -> nn.Module:
    """Return an `Add`."""
    return Add()


def pool() -> nn.Module:
    """Return the mean of every feature map."""
    return nn.AdaptiveAvgPool2d(1)


def flatten() -> nn.Module:
    """Return the layer that maps [N, C, H, W] to [N, C * H * W]."""
    return nn.Flatten()


LAYERS: dict[str, Layer] = {
    "convolution": Layer(convolution, channels="new"),
    "linear": Layer(linear, channels="new"),
    "batchnorm": Layer(batchnorm),
    "prelu": Layer(prelu),
    "affine": Layer(affine),
    "clip": Layer(clip),
    "relu": Layer(relu),
    "add": Layer(add, inputs=2),
    "pool": Layer(pool),
    "flatten": Layer(flatten),
}
"""All layers by the name that descriptions use."""
