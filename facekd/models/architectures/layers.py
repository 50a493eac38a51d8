"""Building blocks shared by the architectures."""

from __future__ import annotations

import torch
from torch import nn

from facekd.errors import ModelError


def scale_channels(count: int, width: float) -> int:
    """Multiply a number of channels by a width, rounded down as in RCO's MobileNetV2.

    Raises:
        ModelError: the result is 0.
    """
    scaled = int(count * width)
    if scaled < 1:
        raise ModelError(f"width {width:g} leaves no channel of {count}; use a larger one")
    return scaled


def conv_bn(
    inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1, *,
    padding: int | None = None, activation: nn.Module | None = None,
) -> nn.Sequential:
    """Return a convolution without bias, a batch normalization and an optional activation.

    Args:
        inputs: number of input channels.
        outputs: number of output channels.
        kernel: side of the kernel.
        stride: stride of the convolution.
        groups: number of channel groups; a depthwise convolution has as many groups as channels.
        padding: width of the zero padding; by default the side does not change at stride 1.
        activation: the module at the end; None for a linear block.
    """
    if padding is None:
        padding = kernel // 2
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
    block = nn.Sequential(convolution, nn.BatchNorm2d(outputs))
    if activation is not None:
        block.append(activation)
    return block


class Residual(nn.Module):
    """The sum of the input and the output of a body."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map [N, C, H, W] to the same shape."""
        out: torch.Tensor = x + self.body(x)
        return out


def initialize_convolutions(model: nn.Module) -> None:
    """Apply He initialization (fan out) to the convolutions only, as ResNets do."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def initialize_weights(model: nn.Module, linear_std: float | None = None) -> None:
    """Apply He initialization (fan out) to convolutions and linear layers; set biases to 0.

    Args:
        model: the network to initialize in place.
        linear_std: standard deviation of the weights of linear layers; None for He initialization.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d) or (isinstance(module, nn.Linear) and linear_std is None):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.Linear) and linear_std is not None:
            nn.init.normal_(module.weight, 0.0, linear_std)
        if isinstance(module, (nn.Conv2d, nn.Linear)) and module.bias is not None:
            nn.init.zeros_(module.bias)
