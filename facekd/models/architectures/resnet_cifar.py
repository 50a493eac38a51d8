"""ResNet for CIFAR (He et al., CVPR 2016, section 4.2), in the depths and widths of the CRD benchmark.

It differs from the paper in the shortcuts that change the shape: they are convolutions (option B), not zero padding.
Parameters are named as in RepDistiller (Tian et al., ICLR 2020), so that the benchmark's state dicts load without
changes.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import adaptive_avg_pool2d, relu

from facekd.errors import ModelError
from facekd.models.architectures.layers import conv_bn, initialize_convolutions, scale_channels
from facekd.models.registry import Network, register

Channels = tuple[int, int, int, int]

THIN: Channels = (16, 16, 32, 64)
THICK: Channels = (32, 64, 128, 256)
"""Channels of the stem and of the three stages; ``x4`` in a name means the latter."""


class Block(nn.Module):
    """Two 3 x 3 convolutions, the first with the stride, plus a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        same_shape = stride == 1 and inputs == outputs
        self.downsample = nn.Identity() if same_shape else conv_bn(inputs, outputs, stride=stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map [N, inputs, H, W] to [N, outputs, H / stride, W / stride], not negative."""
        out = relu(self.bn1(self.conv1(x)))
        return relu(self.bn2(self.conv2(out)) + self.downsample(x))


class ResNet(Network):
    """A stem at full resolution, three stages of which two halve the side, global average pooling, a linear layer.

    Args:
        outputs: length of the output.
        depth: number of layers with weights on the longest path, 6 n + 2 with n blocks a stage.
        counts: channels of the stem and of the stages.
        width: multiplier of the channels.
    """

    stages = ("layer1", "layer2", "layer3")

    def __init__(self, outputs: int, depth: int, counts: Channels, width: float) -> None:
        super().__init__()
        stem, first, second, third = (scale_channels(count, width) for count in counts)
        if first < 8:  # torch 2.13 corrupts its heap in the backward pass of so narrow a 1 x 1 shortcut on a CPU
            raise ModelError(f"width {width:g} leaves {first} channels in the first stage; at least 8 are needed")
        blocks = (depth - 2) // 6
        self.conv1 = nn.Conv2d(3, stem, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(stem)
        self.layer1 = _stage(stem, first, blocks, 1)
        self.layer2 = _stage(first, second, blocks, 2)
        self.layer3 = _stage(second, third, blocks, 2)
        self.fc = nn.Linear(third, outputs)
        initialize_convolutions(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map float [N, 3, size, size] to float [N, outputs]."""
        x = relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        out: torch.Tensor = self.fc(torch.flatten(adaptive_avg_pool2d(x, 1), 1))
        return out


def _stage(inputs: int, outputs: int, blocks: int, stride: int) -> nn.Sequential:
    rest = [Block(outputs, outputs, 1) for _ in range(blocks - 1)]
    return nn.Sequential(Block(inputs, outputs, stride), *rest)


@register
def resnet8(size: int, outputs: int, *, width: float = 1.0) -> Network:
    """0.084 M parameters, 12.5 MMAC at 32 px and 100 classes."""
    return ResNet(outputs, 8, THIN, width)


@register
def resnet14(size: int, outputs: int, *, width: float = 1.0) -> Network:
    """0.181 M parameters, 26.7 MMAC at 32 px and 100 classes."""
    return ResNet(outputs, 14, THIN, width)


@register
def resnet20(size: int, outputs: int, *, width: float = 1.0) -> Network:
    """0.278 M parameters, 40.8 MMAC at 32 px and 100 classes."""
    return ResNet(outputs, 20, THIN, width)


@register
def resnet32(size: int, outputs: int, *, width: float = 1.0) -> Network:
    """0.473 M parameters, 69.1 MMAC at 32 px and 100 classes."""
    return ResNet(outputs, 32, THIN, width)


@register
def resnet44(size: int, outputs: int, *, width: float = 1.0) -> Network:
    """0.667 M parameters, 97.4 MMAC at 32 px and 100 classes."""
    return ResNet(outputs, 44, THIN, width)


@register
def resnet56(size: int, outputs: int, *, width: float = 1.0) -> Network:
    """0.862 M parameters, 125.8 MMAC at 32 px and 100 classes."""
    return ResNet(outputs, 56, THIN, width)


@register
def resnet110(size: int, outputs: int, *, width: float = 1.0) -> Network:
    """1.737 M parameters, 253.2 MMAC at 32 px and 100 classes."""
    return ResNet(outputs, 110, THIN, width)


@register
def resnet8x4(size: int, outputs: int, *, width: float = 1.0) -> Network:
    """1.234 M parameters, 177.1 MMAC at 32 px and 100 classes."""
    return ResNet(outputs, 8, THICK, width)


@register
def resnet32x4(size: int, outputs: int, *, width: float = 1.0) -> Network:
    """7.434 M parameters, 1.083 GMAC at 32 px and 100 classes."""
    return ResNet(outputs, 32, THICK, width)
