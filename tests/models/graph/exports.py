"""Networks with random batch-norm statistics, and their ONNX files written by torch's exporters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from facekd.deploy.suppress_output import suppress_output
from facekd.models.registry import Network, create

SIZE = 32


def random_network(name: str, outputs: int = 16, **options: Any) -> Network:
    """A network in evaluation mode whose batch norms have random statistics, scales and shifts."""
    torch.manual_seed(0)
    network = create(name, size=SIZE, outputs=outputs, **options).eval()
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.running_mean.normal_(0, 0.2)  # type: ignore[union-attr]
            module.running_var.uniform_(0.5, 1.5)  # type: ignore[union-attr]
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.2)
    return network


class ScalesInside(nn.Module):
    """A network that takes pixels from 0 to 255, scaled by ``(x - mean) / std``."""

    def __init__(self, network: nn.Module, mean: float, std: float) -> None:
        super().__init__()
        self.network = network
        self.mean = mean
        self.std = std

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.network((x - self.mean) / self.std)
        return out


def write_onnx(module: nn.Module, path: Path, *, dynamo: bool = True, size: int = SIZE) -> Path:
    """Export a module in evaluation mode, without simplifications of ours."""
    example = (torch.zeros(2, 3, size, size),)
    with suppress_output():
        if dynamo:
            shapes = ({0: torch.export.Dim("batch", min=1)},)
            torch.onnx.export(module.eval(), example, path, dynamo=True, dynamic_shapes=shapes, verbose=False,
                              external_data=False)
        else:
            torch.onnx.export(module.eval(), example, path, dynamo=False, input_names=["x"],
                              dynamic_axes={"x": {0: "batch"}})
    return path
