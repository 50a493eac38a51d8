"""MobileNetV2 (Sandler et al., CVPR 2018) as Route Constrained Optimization and the CRD benchmark use it.

It differs from the ImageNet net: one stride fewer (the side falls by 16), channels are ``int(c * width)`` without
rounding to eights, and the activation is a plain ReLU. With size 32 and 100 outputs it is the CIFAR-100 student
(width 0.5: 812,836 parameters); the face variant at 128 dimensions has 0.849 M.
"""

from __future__ import annotations

import torch
from torch import nn

from facekd.errors import ModelError
from facekd.models.architectures.layers import Residual, channels, conv_bn, initialise
from facekd.models.registry import STRIDE, Network, register

STAGES = ((None, 16, 1, 1), (1, 24, 2, 1), (1, 32, 3, 2), (1, 64, 4, 2), (1, 96, 3, 1), (1, 160, 3, 2), (1, 320, 1, 1))
"""Stages as (expanded?, channels, blocks, stride of the first block); the first stage does not expand."""


class MobileNetV2(Network):
    """Inverted residuals and a linear layer.

    Args:
        size: side of the input in pixels.
        outputs: length of the output; the number of classes when the net is used as a classifier.
        expansion: T, how much wider a block is inside.
        width: W, the multiplier on the channels.
        head: ``gap`` (global average) or ``gdc`` (a learnt depthwise convolution over the whole map).
        last_conv: whether a 1 x 1 convolution to 1280 channels (times ``width`` above 1) comes before the head.
        norm: whether a batch norm follows the linear layer, as in ArcFace's own networks. Without it a margin head can
            collapse: the pooled features are all positive, so embeddings begin alike, and stay so once all centres
            have turned to them.
    """

    stages = ("trunk.3", "trunk.6", "trunk.13", "trunk.17")

    def __init__(
        self, size: int, outputs: int, expansion: int, width: float, head: str, last_conv: bool, norm: bool
    ) -> None:
        super().__init__()
        if head not in ("gap", "gdc"):
            raise ModelError(f"mobilenetv2: head must be 'gap' or 'gdc', not {head!r}")
        if expansion < 1:
            raise ModelError(f"mobilenetv2: expansion must be at least 1, not {expansion}")
        count = channels(32, width)
        layers: list[nn.Module] = [_conv(3, count, 3, 2)]
        for expanded, base, blocks, first in STAGES:
            wide = channels(base, width)
            for index in range(blocks):
                layers.append(_block(count, wide, expansion if expanded else 1, first if index == 0 else 1))
                count = wide
        if last_conv:
            layers.append(_conv(count, channels(1280, max(width, 1.0))))
            count = channels(1280, max(width, 1.0))
        self.trunk = nn.Sequential(*layers)
        side = size // STRIDE
        self.head = nn.AdaptiveAvgPool2d(1) if head == "gap" else conv_bn(count, count, side, groups=count, padding=0)
        self.fc = nn.Linear(count, outputs)
        self.features = nn.BatchNorm1d(outputs) if norm else nn.Identity()
        initialise(self, linear_std=0.01)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Float [N, 3, size, size] to float [N, outputs]."""
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
    """RCO's student; 0.849 M parameters at width 0.5 and 128 dimensions."""
    return MobileNetV2(size, outputs, expansion, width, head, last_conv, norm)
