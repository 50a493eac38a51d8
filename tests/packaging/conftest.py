"""A network small enough to be exported in seconds, and its exported file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from facekd.models.registry import ModelSpec, Network
from facekd.packaging.source import Form, freeze
from facekd.packaging.targets.onnx import OnnxTarget


class Tiny(Network):
    """Every kind of layer the real ones have, with both kinds of PReLU and batch norm that is not the identity."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.spec = ModelSpec("tiny", size, 8)
        self.layers = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.PReLU(8),
            nn.Conv2d(8, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.PReLU(),
            nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(256, 8), nn.BatchNorm1d(8),
        )
        for module in self.modules():
            if isinstance(module, nn.PReLU):
                nn.init.uniform_(module.weight, 0.1, 0.5)
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias)
        self.train()
        with torch.no_grad():
            for _ in range(20):
                self(torch.rand(8, 3, size, size) * 2 - 1)
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return out


@pytest.fixture(scope="session")
def make_tiny() -> Callable[[int], Network]:
    def make(size: int) -> Network:
        torch.manual_seed(size)
        return Tiny(size)

    return make


@pytest.fixture(scope="session")
def tiny(make_tiny: Callable[[int], Network]) -> Network:
    return make_tiny(112)


@pytest.fixture(scope="session")
def crops() -> NDArray[np.uint8]:
    coarse = np.random.default_rng(5).integers(0, 256, (24, 7, 7, 3), dtype=np.uint8)
    return coarse.repeat(16, axis=1).repeat(16, axis=2)


@pytest.fixture(scope="session")
def exported(tiny: Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The float ONNX file of `tiny`."""
    return OnnxTarget().convert(freeze(tiny, Form(), "tiny"), "fp32", tmp_path_factory.mktemp("export")).files[0]
