"""Wide ResNet (Zagoruyko and Komodakis, BMVC 2016), without dropout, as the CRD benchmark uses it.

A name ``wrn_D_K`` means depth D and K times 16, 32, 64 channels. Parameters are named as in RepDistiller, so that the
benchmark's state dicts load without changes.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import adaptive_avg_pool2d, relu

from facekd.models.architectures.layers import initialize_convolutions
from facekd.models.registry import Network, register


class Block(nn.Module):
    """BN and ReLU before each of two 3 x 3 convolutions; a shortcut with weights begins after the first BN and ReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.convShortcut: nn.Module | None = None
        if stride != 1 or inputs != outputs:
            self.convShortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map [N, inputs, H, W] to [N, outputs, H / stride, W / stride]."""
        active = relu(self.bn1(x))
        out: torch.Tensor = self.conv2(relu(self.bn2(self.conv1(active))))
        return out + (x if self.convShortcut is None else self.convShortcut(active))


class Group(nn.Module):
    """One network stage: a block that changes the shape, and blocks that keep it."""

    def __init__(self, inputs: int, outputs: int, blocks: int, stride: int) -> None:
        super().__init__()
        rest = [Block(outputs, outputs, 1) for _ in range(blocks - 1)]
        self.layer = nn.Sequential(Block(inputs, outputs, stride), *rest)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map [N, inputs, H, W] to [N, outputs, H / stride, W / stride]."""
        out: torch.Tensor = self.layer(x)
        return out


class WideResNet(Network):
    """A stem at full resolution, three stages of which two halve the side, BN, global average pooling, a linear layer.

    Args:
        outputs: length of the output.
        depth: 6 n + 4 with n blocks a stage.
        factor: multiplier of the 16, 32, 64 channels of the stages; the stem has 16 channels.
    """

    stages = ("block1", "block2", "block3")

    def __init__(self, outputs: int, depth: int, factor: int) -> None:
        super().__init__()
        blocks = (depth - 4) // 6
        first, second, third = (count * factor for count in (16, 32, 64))
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.block1 = Group(16, first, blocks, 1)
        self.block2 = Group(first, second, blocks, 2)
        self.block3 = Group(second, third, blocks, 2)
        self.bn1 = nn.BatchNorm2d(third)
        self.fc = nn.Linear(third, outputs)
        initialize_convolutions(self)
        nn.init.zeros_(self.fc.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map float [N, 3, size, size] to float [N, outputs]."""
        x = self.block3(self.block2(self.block1(self.conv1(x))))
        x = adaptive_avg_pool2d(relu(self.bn1(x)), 1)
        out: torch.Tensor = self.fc(torch.flatten(x, 1))
        return out


@register
def wrn_16_2(size: int, outputs: int) -> Network:
    """0.703 M parameters, 101.1 MMAC at 32 px and 100 classes."""
    return WideResNet(outputs, 16, 2)


@register
def wrn_40_1(size: int, outputs: int) -> Network:
    """0.570 M parameters, 83.3 MMAC at 32 px and 100 classes."""
    return WideResNet(outputs, 40, 1)


@register
def wrn_40_2(size: int, outputs: int) -> Network:
    """2.255 M parameters, 327.6 MMAC at 32 px and 100 classes."""
    return WideResNet(outputs, 40, 2)
