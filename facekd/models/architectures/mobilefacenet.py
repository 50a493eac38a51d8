"""MobileFaceNet (Chen, Liu, Gao, Han; CCBR 2018), as in arcface_torch.

At 128 dimensions this is the network of the paper: 1,003,136 parameters, and the published 0.99 M (993,344) after the
batch normalizations are folded into the convolutions as on a phone. At 512 dimensions it is the "1.2 M" network
(1,200,512).
"""

from __future__ import annotations

from itertools import accumulate

import torch
from torch import nn

from facekd.errors import ModelError
from facekd.models.architectures.layers import Residual, conv_bn, initialize_weights, scale_channels
from facekd.models.registry import STRIDE, Network, register


class MobileFaceNet(Network):
    """Depthwise bottlenecks with PReLU; the head is a linear global depthwise convolution (GDC).

    Args:
        size: side of the input in pixels.
        outputs: length of the output.
        width: multiplier of all channels, those inside the bottlenecks included.
        scale: multiplier of the channels between the bottlenecks only; arcface_torch's default is 2.
        blocks: number of residual bottlenecks in the stages at 1/2, 1/4, 1/8 and 1/16 of the side; a 1 in the first
            stage means the plain depthwise convolution of the paper.
        activation: ``prelu`` as in the paper, or ``relu``, which phones compute faster (docs/deploy.md).
    """

    def __init__(self, size: int, outputs: int, width: float, scale: int, blocks: tuple[int, int, int, int],
                 activation: str) -> None:
        super().__init__()
        if activation not in ("prelu", "relu"):
            raise ModelError(f"mobilefacenet: activation must be 'prelu' or 'relu', not {activation!r}")
        if scale < 1 or blocks[0] < 1:
            raise ModelError(f"mobilefacenet: scale and blocks[0] must be at least 1, not {scale}, {blocks[0]}")
        narrow = scale_channels(64, width) * scale
        wide = scale_channels(128, width) * scale
        inner = {count: scale_channels(count, width) for count in (128, 256, 512)}
        self.stem = _conv(3, narrow, 3, 2)
        # The number of groups does not grow with scale (as in arcface_torch), so this is depthwise only at scale 1.
        first = [_conv(narrow, narrow, 3, groups=narrow // scale)]
        self.trunk = nn.Sequential(
            *(first if blocks[0] == 1 else _residuals(narrow, inner[128], blocks[0])),
            _bottleneck(narrow, inner[128], narrow, 2), *_residuals(narrow, inner[128], blocks[1]),
            _bottleneck(narrow, inner[256], wide, 2), *_residuals(wide, inner[256], blocks[2]),
            _bottleneck(wide, inner[512], wide, 2), *_residuals(wide, inner[256], blocks[3]),
            _conv(wide, inner[512]),
        )
        ends = accumulate((blocks[0], *(1 + count for count in blocks[1:])))  # stages 2 to 4 begin with a bottleneck
        self.stages = tuple(f"trunk.{end - 1}" for end in ends)
        self.gdc = conv_bn(inner[512], inner[512], size // STRIDE, groups=inner[512], padding=0)
        self.fc = nn.Linear(inner[512], outputs, bias=False)
        self.features = nn.BatchNorm1d(outputs)
        if activation == "relu":
            _replace_prelu_by_relu(self)
        initialize_weights(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map float [N, 3, size, size] to float [N, outputs]."""
        x = self.gdc(self.trunk(self.stem(x)))
        out: torch.Tensor = self.features(self.fc(torch.flatten(x, 1)))
        return out


def _conv(inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> nn.Sequential:
    return conv_bn(inputs, outputs, kernel, stride, groups, activation=nn.PReLU(outputs))


def _bottleneck(inputs: int, inner: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(_conv(inputs, inner), _conv(inner, inner, 3, stride, inner), conv_bn(inner, outputs))


def _residuals(width: int, inner: int, count: int) -> list[nn.Module]:
    return [Residual(_bottleneck(width, inner, width)) for _ in range(count)]


def _replace_prelu_by_relu(model: nn.Module) -> None:
    for block in list(model.modules()):
        if isinstance(block, nn.Sequential) and isinstance(block[-1], nn.PReLU):
            block[-1] = nn.ReLU()


@register
def mobilefacenet(
    size: int, outputs: int, *, width: float = 1.0, scale: int = 1,
    blocks: tuple[int, int, int, int] = (1, 4, 6, 2), activation: str = "prelu",
) -> Network:
    """0.99 M parameters at 128 dimensions, 1.2 M at 512; see the module."""
    return MobileFaceNet(size, outputs, width, scale, blocks, activation)
