"""ResNet-50 (He et al., CVPR 2016) with a stem for small images, the widest teacher of the CRD benchmark.

The stem is one 3 x 3 convolution at full resolution, without the pooling of the network for ImageNet. Parameters are
named as in RepDistiller, so that the benchmark's state dict loads without changes.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import adaptive_avg_pool2d, relu

from facekd.models.architectures.layers import conv_bn, initialize_convolutions, scale_channels
from facekd.models.registry import Network, register

EXPANSION = 4
"""Ratio of the output channels of a block to its inner channels."""


class Bottleneck(nn.Module):
    """Convolutions 1 x 1, 3 x 3 (with the stride) and 1 x 1, plus a shortcut."""

    def __init__(self, inputs: int, inner: int, stride: int) -> None:
        super().__init__()
        outputs = inner * EXPANSION
        self.conv1 = nn.Conv2d(inputs, inner, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        same_shape = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if same_shape else conv_bn(inputs, outputs, stride=stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map [N, inputs, H, W] to [N, 4 inner, H / stride, W / stride], not negative."""
        out = relu(self.bn1(self.conv1(x)))
        out = relu(self.bn2(self.conv2(out)))
        return relu(self.bn3(self.conv3(out)) + self.shortcut(x))


class BottleneckResNet(Network):
    """A stem at full resolution, four stages of which three halve the side, global average pooling, a linear layer.

    Args:
        outputs: length of the output.
        depths: number of blocks in each stage.
        width: multiplier of the 64, 128, 256 and 512 channels inside the blocks.
    """

    stages = ("layer1", "layer2", "layer3", "layer4")
    final_layer = "linear"

    def __init__(self, outputs: int, depths: tuple[int, int, int, int], width: float) -> None:
        super().__init__()
        count = scale_channels(64, width)
        self.conv1 = nn.Conv2d(3, count, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(count)
        for index, depth in enumerate(depths):
            inner = scale_channels(64 * 2**index, width)
            rest = [Bottleneck(inner * EXPANSION, inner, 1) for _ in range(depth - 1)]
            setattr(self, self.stages[index], nn.Sequential(Bottleneck(count, inner, 2 if index else 1), *rest))
            count = inner * EXPANSION
        self.linear = nn.Linear(count, outputs)
        initialize_convolutions(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map float [N, 3, size, size] to float [N, outputs]."""
        x = relu(self.bn1(self.conv1(x)))
        for stage in self.stages:
            x = self.get_submodule(stage)(x)
        out: torch.Tensor = self.linear(torch.flatten(adaptive_avg_pool2d(x, 1), 1))
        return out


@register
def resnet50_cifar(size: int, outputs: int, *, width: float = 1.0) -> Network:
    """23.705 M parameters, 1.298 GMAC at 32 px and 100 classes."""
    return BottleneckResNet(outputs, (3, 4, 6, 3), width)
