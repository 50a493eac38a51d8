"""ShuffleNet V1 (Zhang et al., CVPR 2018) and V2 (Ma et al., ECCV 2018), as students of the CRD benchmark.

They differ from the papers' nets for ImageNet in the stem, one 1 x 1 convolution at full resolution and no pool, and V1
in a ReLU behind its depthwise convolutions too.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import adaptive_avg_pool2d, avg_pool2d, relu

from facekd.models.architectures.layers import conv_bn
from facekd.models.registry import Network, register

STEM = 24
"""Channels of the stem, of both versions."""


class Grouped(nn.Module):
    """V1's unit: grouped 1 x 1, shuffle, depthwise 3 x 3, grouped 1 x 1.

    At stride 1 its input is added, at stride 2 its input's average is put beside it.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, groups: int) -> None:
        super().__init__()
        self.stride = stride
        made = outputs - inputs if stride == 2 else outputs
        inner = made // 4
        first = 1 if inputs == STEM else groups  # too few channels to group
        self.body = nn.Sequential(
            _conv(inputs, inner, groups=first), nn.ChannelShuffle(first),
            _conv(inner, inner, 3, stride, inner), conv_bn(inner, made, groups=groups),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps [N, inputs, H, W] to [N, outputs, H / stride, W / stride], none below 0."""
        out: torch.Tensor = self.body(x)
        if self.stride == 1:
            return relu(out + x)
        return relu(torch.cat([out, avg_pool2d(x, 3, 2, padding=1)], 1))


class Split(nn.Module):
    """V2's unit: one half of the channels passes as it is, the other through 1 x 1, depthwise 3 x 3, 1 x 1; shuffle."""

    def __init__(self, count: int) -> None:
        super().__init__()
        half = count // 2
        self.body = nn.Sequential(_conv(half, half), conv_bn(half, half, 3, groups=half), _conv(half, half))
        self.shuffle = nn.ChannelShuffle(2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps [N, C, H, W] to the same shape."""
        kept, changed = x.chunk(2, 1)
        out: torch.Tensor = self.shuffle(torch.cat([kept, self.body(changed)], 1))
        return out


class Down(nn.Module):
    """V2's unit that halves the side: both halves of the output are made from the whole input; shuffle."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        half = outputs // 2
        self.left = nn.Sequential(conv_bn(inputs, inputs, 3, 2, inputs), _conv(inputs, half))
        self.right = nn.Sequential(_conv(inputs, half), conv_bn(half, half, 3, 2, half), _conv(half, half))
        self.shuffle = nn.ChannelShuffle(2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps [N, inputs, H, W] to [N, outputs, H / 2, W / 2], none below 0."""
        out: torch.Tensor = self.shuffle(torch.cat([self.left(x), self.right(x)], 1))
        return out


class ShuffleNet(Network):
    """Stem at full resolution, three stages that each halve the side, global average and a linear layer.

    Args:
        outputs: length of the output.
        trunk: the three stages.
        last: a module behind them, for V2 a 1 x 1 convolution.
        count: channels at the end.
    """

    stages = ("trunk.0", "trunk.1", "trunk.2")

    def __init__(self, outputs: int, trunk: nn.Sequential, last: nn.Module, count: int) -> None:
        super().__init__()
        self.stem = _conv(3, STEM)
        self.trunk = trunk
        self.last = last
        self.fc = nn.Linear(count, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Float [N, 3, size, size] to float [N, outputs]."""
        x = self.last(self.trunk(self.stem(x)))
        out: torch.Tensor = self.fc(torch.flatten(adaptive_avg_pool2d(x, 1), 1))
        return out


def _conv(inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> nn.Sequential:
    return conv_bn(inputs, outputs, kernel, stride, groups, activation=nn.ReLU())


@register
def shufflenetv1(size: int, outputs: int) -> Network:
    """0.949 M parameters, 38.7 MMAC at 32 px and 100 classes; three groups."""
    trunk, inputs = nn.Sequential(), STEM
    for count, units in ((240, 4), (480, 8), (960, 4)):
        rest = [Grouped(count, count, 1, 3) for _ in range(units - 1)]
        trunk.append(nn.Sequential(Grouped(inputs, count, 2, 3), *rest))
        inputs = count
    return ShuffleNet(outputs, trunk, nn.Identity(), inputs)


@register
def shufflenetv2(size: int, outputs: int) -> Network:
    """1.356 M parameters, 44.5 MMAC at 32 px and 100 classes; width 1."""
    trunk, inputs = nn.Sequential(), STEM
    for count, units in ((116, 4), (232, 8), (464, 4)):
        trunk.append(nn.Sequential(Down(inputs, count), *[Split(count) for _ in range(units - 1)]))
        inputs = count
    return ShuffleNet(outputs, trunk, _conv(inputs, 1024), 1024)
