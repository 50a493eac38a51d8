"""MobileFaceNet (Chen, Liu, Gao, Han; CCBR 2018), in the form arcface_torch trains it.

At 128 dimensions this is the paper's net: 1,003,136 parameters, and the published 0.99 M (993,344) once the batch
normalisations are folded into the convolutions as on a phone. At 512 dimensions it is the "1.2 M" net (1,200,512).
"""

from __future__ import annotations

from itertools import accumulate

import torch
from torch import nn

from facekd.errors import ModelError
from facekd.models.architectures.layers import Residual, channels, conv_bn, initialise
from facekd.models.registry import STRIDE, Network, register


class MobileFaceNet(Network):
    """Depthwise bottlenecks with PReLU; the head is a linear global depthwise convolution (GDC).

    Args:
        size: side of the input in pixels.
        outputs: length of the output.
        width: multiplier on every channel count, the insides of the bottlenecks included.
        scale: multiplier on the channels between the bottlenecks only; 2 is arcface_torch's own default.
        blocks: residual bottlenecks in the stages at 1/2, 1/4, 1/8 and 1/16 of the side; a first 1 is the paper's
            plain depthwise convolution.
        activation: ``prelu``, the paper's; or ``relu``, which phones compute faster (docs/deploy.md).
    """

    def __init__(self, size: int, outputs: int, width: float, scale: int, blocks: tuple[int, int, int, int],
                 activation: str) -> None:
        super().__init__()
        if activation not in ("prelu", "relu"):
            raise ModelError(f"mobilefacenet: activation must be 'prelu' or 'relu', not {activation!r}")
        if scale < 1 or blocks[0] < 1:
            raise ModelError(f"mobilefacenet: scale and blocks[0] must be at least 1, not {scale}, {blocks[0]}")
        narrow, wide = channels(64, width) * scale, channels(128, width) * scale
        inner = {count: channels(count, width) for count in (128, 256, 512)}
        self.stem = _conv(3, narrow, 3, 2)
        # Groups stay at 64 when the trunk widens (as in arcface_torch), so this is depthwise only at scale 1.
        first = [_conv(narrow, narrow, 3, groups=narrow // scale)]
        self.trunk = nn.Sequential(
            *(first if blocks[0] == 1 else _residuals(narrow, inner[128], blocks[0])),
            _bottleneck(narrow, inner[128], narrow, 2), *_residuals(narrow, inner[128], blocks[1]),
            _bottleneck(narrow, inner[256], wide, 2), *_residuals(wide, inner[256], blocks[2]),
            _bottleneck(wide, inner[512], wide, 2), *_residuals(wide, inner[256], blocks[3]),
            _conv(wide, inner[512]),
        )
        ends = accumulate((blocks[0], *(1 + more for more in blocks[1:])))  # a bottleneck opens all but the first
        self.stages = tuple(f"trunk.{end - 1}" for end in ends)
        self.gdc = conv_bn(inner[512], inner[512], size // STRIDE, groups=inner[512], padding=0)
        self.fc = nn.Linear(inner[512], outputs, bias=False)
        self.features = nn.BatchNorm1d(outputs)
        if activation == "relu":
            _without_slopes(self)
        initialise(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Float [N, 3, size, size] to float [N, outputs]."""
        x = self.gdc(self.trunk(self.stem(x)))
        out: torch.Tensor = self.features(self.fc(torch.flatten(x, 1)))
        return out


def _conv(inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> nn.Sequential:
    return conv_bn(inputs, outputs, kernel, stride, groups, activation=nn.PReLU(outputs))


def _bottleneck(inputs: int, inner: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(_conv(inputs, inner), _conv(inner, inner, 3, stride, inner), conv_bn(inner, outputs))


def _residuals(width: int, inner: int, count: int) -> list[nn.Module]:
    return [Residual(_bottleneck(width, inner, width)) for _ in range(count)]


def _without_slopes(model: nn.Module) -> None:
    for block in list(model.modules()):
        if isinstance(block, nn.Sequential) and isinstance(block[-1], nn.PReLU):
            block[-1] = nn.ReLU()


@register
def mobilefacenet(
    size: int, outputs: int, *, width: float = 1.0, scale: int = 1,
    blocks: tuple[int, int, int, int] = (1, 4, 6, 2), activation: str = "prelu",
) -> Network:
    """0.99 M at 128 dimensions, 1.2 M at 512; see the module."""
    return MobileFaceNet(size, outputs, width, scale, blocks, activation)
