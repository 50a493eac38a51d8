"""VGG (Simonyan and Zisserman, ICLR 2015) with batch normalisation and one linear layer, as the CRD benchmark uses it.

Parameters are named as in RepDistiller, so that the benchmark's state dicts load without changes.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import adaptive_avg_pool2d, max_pool2d

from facekd.models.architectures.layers import initialize_weights, scale_channels
from facekd.models.registry import Network, register

CHANNELS = (64, 128, 256, 512, 512)
"""Channels of the five blocks."""


class VGG(Network):
    """Five blocks of 3 x 3 convolutions, with max pooling between them, global average pooling and a linear layer.

    Below 64 pixels there is no fourth max pooling: at 32 pixels the last two blocks both have 4 x 4 maps, as in the
    benchmark.

    Args:
        size: side of the input in pixels.
        outputs: length of the output.
        convolutions: number of convolutions in each block.
        width: multiplier of the channels.
    """

    stages = ("block0", "block1", "block2", "block3", "block4")
    final_layer = "classifier"

    def __init__(self, size: int, outputs: int, convolutions: tuple[int, int, int, int, int], width: float) -> None:
        super().__init__()
        self.pools = 4 if size >= 64 else 3
        counts = [scale_channels(count, width) for count in CHANNELS]
        for index, (inputs, count, depth) in enumerate(zip([3, *counts[:-1]], counts, convolutions, strict=True)):
            setattr(self, f"block{index}", _block(inputs, count, depth))
        self.classifier = nn.Linear(counts[-1], outputs)
        initialize_weights(self, linear_std=0.01)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map float [N, 3, size, size] to float [N, outputs]."""
        for index, stage in enumerate(self.stages):
            x = self.get_submodule(stage)(x)
            if index < self.pools:
                x = max_pool2d(x, 2)
        out: torch.Tensor = self.classifier(torch.flatten(adaptive_avg_pool2d(x, 1), 1))
        return out


def _block(inputs: int, outputs: int, depth: int) -> nn.Sequential:
    block = nn.Sequential()
    for index in range(depth):
        convolution = nn.Conv2d(outputs if index else inputs, outputs, 3, padding=1)
        block.extend([convolution, nn.BatchNorm2d(outputs), nn.ReLU()])
    return block


@register
def vgg8(size: int, outputs: int, *, width: float = 1.0) -> Network:
    """3.965 M parameters, 96.2 MMAC at 32 px and 100 classes."""
    return VGG(size, outputs, (1, 1, 1, 1, 1), width)


@register
def vgg11(size: int, outputs: int, *, width: float = 1.0) -> Network:
    """9.277 M parameters, 209.4 MMAC at 32 px and 100 classes."""
    return VGG(size, outputs, (1, 1, 2, 2, 2), width)


@register
def vgg13(size: int, outputs: int, *, width: float = 1.0) -> Network:
    """9.462 M parameters, 284.9 MMAC at 32 px and 100 classes."""
    return VGG(size, outputs, (2, 2, 2, 2, 2), width)


@register
def vgg16(size: int, outputs: int, *, width: float = 1.0) -> Network:
    """14.774 M parameters, 398.2 MMAC at 32 px and 100 classes."""
    return VGG(size, outputs, (2, 2, 3, 3, 3), width)


@register
def vgg19(size: int, outputs: int, *, width: float = 1.0) -> Network:
    """20.087 M parameters, 511.4 MMAC at 32 px and 100 classes."""
    return VGG(size, outputs, (2, 2, 4, 4, 4), width)
