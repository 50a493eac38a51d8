"""Building blocks that the mobile architectures share."""

from __future__ import annotations

import torch
from torch import nn

from facekd.errors import ModelError


def channels(count: int, width: float) -> int:
    """A channel count times a width multiplier, rounded down as RCO's MobileNetV2 does.

    Raises:
        ModelError: nothing would be left.
    """
    if int(count * width) < 1:
        raise ModelError(f"width {width:g} leaves no channel of {count}; use a larger one")
    return int(count * width)


def conv_bn(
    inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1,
    padding: int | None = None, activation: nn.Module | None = None,
) -> nn.Sequential:
    """Convolution without bias, batch normalisation and, where given, an activation.

    Args:
        inputs: channels in.
        outputs: channels out.
        kernel: side of the kernel.
        stride: step.
        groups: groups of channels; equal to both counts it is a depthwise convolution.
        padding: zeros around; by default what keeps the side at stride 1.
        activation: a module for the end; without it the block is linear.
    """
    around = kernel // 2 if padding is None else padding
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, around, groups=groups, bias=False)
    block = nn.Sequential(convolution, nn.BatchNorm2d(outputs))
    if activation is not None:
        block.append(activation)
    return block


class Residual(nn.Module):
    """Adds its input to what the body makes of it."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps [N, C, H, W] to the same shape."""
        out: torch.Tensor = x + self.body(x)
        return out


def initialise_convolutions(model: nn.Module) -> None:
    """He-initialise the convolutions (fan out) and nothing else, as ResNet and its kin begin."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def initialise(model: nn.Module, linear_std: float | None = None) -> None:
    """He-initialise the convolutions (fan out), and the linear layers with the given deviation or, by default, too."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d) or (isinstance(module, nn.Linear) and linear_std is None):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.Linear) and linear_std is not None:
            nn.init.normal_(module.weight, 0.0, linear_std)
        if isinstance(module, (nn.Conv2d, nn.Linear)) and module.bias is not None:
            nn.init.zeros_(module.bias)
