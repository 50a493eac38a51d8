"""ShuffleNet V1 (Zhang et al., CVPR 2018) and V2 (Ma et al., ECCV 2018), as students of the CRD benchmark.

They differ from the networks of the papers for ImageNet in the stem, which is one 1 x 1 convolution at full resolution
without pooling; V1 also has a ReLU after its depthwise convolutions.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import adaptive_avg_pool2d, avg_pool2d, relu

from facekd.models.architectures.layers import conv_bn
from facekd.models.registry import Network, register

STEM_CHANNELS = 24
"""Channels of the stem in both versions."""


class ShuffleUnitV1(nn.Module):
    """The unit of V1: grouped 1 x 1, shuffle, depthwise 3 x 3, grouped 1 x 1.

    At stride 1 the input is added to the result; at stride 2 the average-pooled input is concatenated to it.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, groups: int) -> None:
        super().__init__()
        self.stride = stride
        body_outputs = outputs - inputs if stride == 2 else outputs
        inner = body_outputs // 4
        first_groups = 1 if inputs == STEM_CHANNELS else groups  # the stem has too few channels to group
        self.body = nn.Sequential(
            _conv(inputs, inner, groups=first_groups), nn.ChannelShuffle(first_groups),
            _conv(inner, inner, 3, stride, inner), conv_bn(inner, body_outputs, groups=groups),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map [N, inputs, H, W] to [N, outputs, H / stride, W / stride], not negative."""
        out: torch.Tensor = self.body(x)
        if self.stride == 1:
            return relu(out + x)
        return relu(torch.cat([out, avg_pool2d(x, 3, 2, padding=1)], 1))


class ShuffleUnitV2(nn.Module):
    """The unit of V2: half of the channels pass, the others go through 1 x 1, depthwise 3 x 3, 1 x 1; shuffle."""

    def __init__(self, count: int) -> None:
        super().__init__()
        half = count // 2
        self.body = nn.Sequential(_conv(half, half), conv_bn(half, half, 3, groups=half), _conv(half, half))
        self.shuffle = nn.ChannelShuffle(2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map [N, C, H, W] to the same shape."""
        identity, transformed = x.chunk(2, 1)
        out: torch.Tensor = self.shuffle(torch.cat([identity, self.body(transformed)], 1))
        return out


class DownsampleUnitV2(nn.Module):
    """The unit of V2 that halves the side: two branches of the whole input give half of the channels each; shuffle."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        half = outputs // 2
        self.left = nn.Sequential(conv_bn(inputs, inputs, 3, 2, inputs), _conv(inputs, half))
        self.right = nn.Sequential(_conv(inputs, half), conv_bn(half, half, 3, 2, half), _conv(half, half))
        self.shuffle = nn.ChannelShuffle(2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map [N, inputs, H, W] to [N, outputs, H / 2, W / 2], not negative."""
        out: torch.Tensor = self.shuffle(torch.cat([self.left(x), self.right(x)], 1))
        return out


class ShuffleNet(Network):
    """A stem at full resolution, three stages that each halve the side, global average pooling, a linear layer.

    Args:
        outputs: length of the output.
        trunk: the three stages.
        last: the module after the stages, for V2 a 1 x 1 convolution.
        count: number of channels after ``last``.
    """

    stages = ("trunk.0", "trunk.1", "trunk.2")

    def __init__(self, outputs: int, trunk: nn.Sequential, last: nn.Module, count: int) -> None:
        super().__init__()
        self.stem = _conv(3, STEM_CHANNELS)
        self.trunk = trunk
        self.last = last
        self.fc = nn.Linear(count, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map float [N, 3, size, size] to float [N, outputs]."""
        x = self.last(self.trunk(self.stem(x)))
        out: torch.Tensor = self.fc(torch.flatten(adaptive_avg_pool2d(x, 1), 1))
        return out


def _conv(inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> nn.Sequential:
    return conv_bn(inputs, outputs, kernel, stride, groups, activation=nn.ReLU())


@register
def shufflenetv1(size: int, outputs: int) -> Network:
    """0.949 M parameters, 38.7 MMAC at 32 px and 100 classes; three groups."""
    trunk = nn.Sequential()
    inputs = STEM_CHANNELS
    for count, units in ((240, 4), (480, 8), (960, 4)):
        rest = [ShuffleUnitV1(count, count, 1, 3) for _ in range(units - 1)]
        trunk.append(nn.Sequential(ShuffleUnitV1(inputs, count, 2, 3), *rest))
        inputs = count
    return ShuffleNet(outputs, trunk, nn.Identity(), inputs)


@register
def shufflenetv2(size: int, outputs: int) -> Network:
    """1.356 M parameters, 44.5 MMAC at 32 px and 100 classes; width 1."""
    trunk = nn.Sequential()
    inputs = STEM_CHANNELS
    for count, units in ((116, 4), (232, 8), (464, 4)):
        trunk.append(nn.Sequential(DownsampleUnitV2(inputs, count), *[ShuffleUnitV2(count) for _ in range(units - 1)]))
        inputs = count
    return ShuffleNet(outputs, trunk, _conv(inputs, 1024), 1024)
