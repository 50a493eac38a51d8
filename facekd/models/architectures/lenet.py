"""LeNet-5 (LeCun et al., Proceedings of the IEEE 1998) in color, with ReLU and max pooling, without batch norm.

A multiple of its channels is the small student of Harutyunyan et al., Supervision Complexity and its Role in Knowledge
Distillation, ICLR 2023. The layers are our reading of "LeNet-5x8": the paper's code was not available to compare.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import relu

from facekd.models.architectures.layers import scale_channels
from facekd.models.registry import Network, register

CHANNELS = (6, 16, 120, 84)
"""Channels of the two convolutions and of the two hidden linear layers at width 1."""

KERNEL = 5


class LeNet(Network):
    """Two blocks of a 5 x 5 convolution without padding, ReLU and max pooling, and three linear layers.

    Args:
        size: side of the input in pixels; the second block has maps of size / 4 - 3.
        outputs: length of the output.
        width: multiplier of the channels and of the hidden units.
    """

    stages = ("block1", "block2")

    def __init__(self, size: int, outputs: int, width: float) -> None:
        super().__init__()
        shallow, deep, first, second = (scale_channels(count, width) for count in CHANNELS)
        side = size // 4 - 3
        # All layers keep torch's initialization, as in torch's own examples of this network.
        self.block1 = _block(3, shallow)
        self.block2 = _block(shallow, deep)
        self.fc1 = nn.Linear(deep * side * side, first)
        self.fc2 = nn.Linear(first, second)
        self.fc = nn.Linear(second, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map float [N, 3, size, size] to float [N, outputs]."""
        x = torch.flatten(self.block2(self.block1(x)), 1)
        out: torch.Tensor = self.fc(relu(self.fc2(relu(self.fc1(x)))))
        return out


def _block(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, KERNEL), nn.ReLU(), nn.MaxPool2d(2))


@register
def lenet(size: int, outputs: int, *, width: float = 4.0) -> Network:
    """0.974 M parameters, 6.184 MMAC at 32 px and 10 classes; ``width=8.0`` is LeNet-5x8."""
    return LeNet(size, outputs, width)
