"""MobileNetV2 (Sandler et al., CVPR 2018) as Route Constrained Optimization and the CRD benchmark use it.

It differs from the network for ImageNet: it has one stride less (the total stride is 16), numbers of channels are
``int(c * width)`` and not rounded to multiples of 8, and the activation is a plain ReLU. With size 32 and 100 outputs
it is the CIFAR-100 student (width 0.5: 812,836 parameters); the face variant at 128 dimensions has 0.849 M.
"""

from __future__ import annotations

import torch
from torch import nn

from facekd.errors import ModelError
from facekd.models.architectures.layers import Residual, conv_bn, initialize_weights, scale_channels
from facekd.models.registry import STRIDE, Network, register

STAGES = ((None, 16, 1, 1), (1, 24, 2, 1), (1, 32, 3, 2), (1, 64, 4, 2), (1, 96, 3, 1), (1, 160, 3, 2), (1, 320, 1, 1))
"""Stages as (1 if expanded, channels, blocks, stride of the first block); the first stage is not expanded."""


class MobileNetV2(Network):
    """Inverted residual blocks and a linear layer.

    Args:
        size: side of the input in pixels.
        outputs: length of the output; the number of classes of a classifier.
        expansion: ratio T of the channels inside a block to its input channels.
        width: multiplier W of the channels.
        head: ``gap`` (global average pooling) or ``gdc`` (a depthwise convolution over the whole map).
        last_conv: whether a 1 x 1 convolution to 1280 channels (times ``width`` above 1) precedes the head.
        norm: whether a batch norm follows the linear layer, as in ArcFace's networks. Without it, training with a
            margin head can collapse: the pooled features are all positive, so that initial embeddings are similar, and
            they remain so after all class centers have turned towards them.
    """

    stages = ("trunk.3", "trunk.6", "trunk.13", "trunk.17")

    def __init__(
        self, size: int, outputs: int, expansion: int, width: float, *, head: str, last_conv: bool, norm: bool
    ) -> None:
        super().__init__()
        if head not in ("gap", "gdc"):
            raise ModelError(f"mobilenetv2: head must be 'gap' or 'gdc', not {head!r}")
        if expansion < 1:
            raise ModelError(f"mobilenetv2: expansion must be at least 1, not {expansion}")
        count = scale_channels(32, width)
        layers: list[nn.Module] = [_conv(3, count, 3, 2)]
        for expanded, base, blocks, first_stride in STAGES:
            outputs_of_block = scale_channels(base, width)
            for index in range(blocks):
                stride = first_stride if index == 0 else 1
                layers.append(_block(count, outputs_of_block, expansion if expanded else 1, stride))
                count = outputs_of_block
        if last_conv:
            layers.append(_conv(count, scale_channels(1280, max(width, 1.0))))
            count = scale_channels(1280, max(width, 1.0))
        self.trunk = nn.Sequential(*layers)
        side = size // STRIDE
        self.head = nn.AdaptiveAvgPool2d(1) if head == "gap" else conv_bn(count, count, side, groups=count, padding=0)
        self.fc = nn.Linear(count, outputs)
        self.features = nn.BatchNorm1d(outputs) if norm else nn.Identity()
        initialize_weights(self, linear_std=0.01)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map float [N, 3, size, size] to float [N, outputs]."""
        out: torch.Tensor = self.features(self.fc(torch.flatten(self.head(self.trunk(x)), 1)))
        return out


def _conv(inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> nn.Sequential:
    return conv_bn(inputs, outputs, kernel, stride, groups, activation=nn.ReLU())


def _block(inputs: int, outputs: int, expansion: int, stride: int) -> nn.Module:
    inner = inputs * expansion
    body = nn.Sequential(_conv(inputs, inner), _conv(inner, inner, 3, stride, inner), conv_bn(inner, outputs))
    return Residual(body) if stride == 1 and inputs == outputs else body


@register
def mobilenetv2(
    size: int, outputs: int, *, expansion: int = 6, width: float = 0.5, head: str = "gap", last_conv: bool = True,
    norm: bool = False,
) -> Network:
    """0.849 M parameters at width 0.5 and 128 dimensions; the student of RCO."""
    return MobileNetV2(size, outputs, expansion, width, head=head, last_conv=last_conv, norm=norm)
