"""IResNet, ArcFace's backbone (Duta et al. 2020; Deng et al., CVPR 2019), with arcface_torch's parameter names.

At width 1 the state dicts of InsightFace's arcface_torch load without changes.
"""

from __future__ import annotations

import torch
from torch import nn

from facekd.errors import ModelError
from facekd.models.architectures.layers import scale_channels
from facekd.models.registry import STRIDE, Network, register

Depths = tuple[int, int, int, int]


class Block(nn.Module):
    """BN, conv, BN, PReLU, conv (with the stride), BN, plus a shortcut; all convolutions are 3 x 3."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.prelu = nn.PReLU(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, stride, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Module | None = None
        if stride != 1 or inputs != outputs:
            shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map [N, inputs, H, W] to [N, outputs, H / stride, W / stride]."""
        out: torch.Tensor = self.prelu(self.bn2(self.conv1(self.bn1(x))))
        out = self.bn3(self.conv2(out))
        return out + (x if self.downsample is None else self.downsample(x))


class IResNet(Network):
    """A stem at full resolution, four stages that each halve the side, a linear layer on the flattened maps, and a BN.

    Args:
        size: side of the input in pixels.
        outputs: length of the output.
        layers: number of blocks in each stage.
        width: multiplier of the 64, 128, 256 and 512 channels.
        dropout: dropout probability before the linear layer.
    """

    stages = ("layer1", "layer2", "layer3", "layer4")

    def __init__(self, size: int, outputs: int, layers: Depths, width: float, dropout: float) -> None:
        super().__init__()
        if min(layers) < 1 or dropout >= 1:
            raise ModelError(f"iresnet: layers must be at least 1 and dropout below 1, not {layers}, {dropout}")
        stem = scale_channels(64, width)
        last = scale_channels(512, width)
        self.conv1 = nn.Conv2d(3, stem, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(stem)
        self.prelu = nn.PReLU(stem)
        self.layer1 = _stage(stem, scale_channels(64, width), layers[0])
        self.layer2 = _stage(scale_channels(64, width), scale_channels(128, width), layers[1])
        self.layer3 = _stage(scale_channels(128, width), scale_channels(256, width), layers[2])
        self.layer4 = _stage(scale_channels(256, width), last, layers[3])
        self.bn2 = nn.BatchNorm2d(last)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(last * (size // STRIDE) ** 2, outputs)
        self.features = nn.BatchNorm1d(outputs)
        # Fixed at 1 as in arcface_torch: the linear layer before it already determines the weight of each dimension.
        self.features.weight.requires_grad_(False)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, 0.0, 0.1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map float [N, 3, size, size] to float [N, outputs]."""
        x = self.prelu(self.bn1(self.conv1(x)))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        x = self.dropout(torch.flatten(self.bn2(x), 1))
        out: torch.Tensor = self.features(self.fc(x))
        return out


def _stage(inputs: int, outputs: int, depth: int) -> nn.Sequential:
    rest = [Block(outputs, outputs, 1) for _ in range(depth - 1)]
    return nn.Sequential(Block(inputs, outputs, 2), *rest)


@register
def iresnet10(
    size: int, outputs: int, *, layers: Depths = (1, 1, 1, 1), width: float = 1.0, dropout: float = 0.0
) -> Network:
    """One block a stage, a teacher for small machines."""
    return IResNet(size, outputs, layers, width, dropout)


@register
def iresnet18(
    size: int, outputs: int, *, layers: Depths = (2, 2, 2, 2), width: float = 1.0, dropout: float = 0.0
) -> Network:
    """24.0 M parameters, 2.6 GMAC at 112 px and 512 dimensions."""
    return IResNet(size, outputs, layers, width, dropout)


@register
def iresnet34(
    size: int, outputs: int, *, layers: Depths = (3, 4, 6, 3), width: float = 1.0, dropout: float = 0.0
) -> Network:
    """34.1 M parameters, 4.5 GMAC at 112 px and 512 dimensions."""
    return IResNet(size, outputs, layers, width, dropout)


@register
def iresnet50(
    size: int, outputs: int, *, layers: Depths = (3, 4, 14, 3), width: float = 1.0, dropout: float = 0.0
) -> Network:
    """43.6 M parameters, 6.3 GMAC at 112 px and 512 dimensions."""
    return IResNet(size, outputs, layers, width, dropout)


@register
def iresnet100(
    size: int, outputs: int, *, layers: Depths = (3, 13, 30, 3), width: float = 1.0, dropout: float = 0.0
) -> Network:
    """65.2 M parameters, 12.1 GMAC at 112 px and 512 dimensions."""
    return IResNet(size, outputs, layers, width, dropout)
