"""A network small enough to be exported in seconds, its float32 ONNX file, and a package of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from facekd.data import cv2
from facekd.data.pairs.pair_set import PairSet, build_pair_set
from facekd.deploy.export import TargetPrecision, write_package
from facekd.deploy.package import Package
from facekd.deploy.source import ExportFormat, ExportSource, IOSpec, prepare_source
from facekd.deploy.targets import ConvertedFiles, Target
from facekd.deploy.targets.base import Precision, RuntimeUnavailableError, registered
from facekd.deploy.targets.onnx import OnnxTarget
from facekd.deploy.validation import ExportValidator
from facekd.deploy.validation_gate import Gate
from facekd.models.embedder import Embedder
from facekd.models.registry import ModelSpec, Network

ONNX_FILES: list[TargetPrecision] = [("onnx", "fp32"), ("onnx", "fp16"), ("onnx", "int8")]
"""The files of the ONNX target."""


class TinyNetwork(Network):
    """All types of layers of the real networks, with both types of PReLU, and batch norms that are not the identity."""

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
def make_tiny_network() -> Callable[[int], Network]:
    def make(size: int) -> Network:
        torch.manual_seed(size)
        return TinyNetwork(size)

    return make


@pytest.fixture(scope="session")
def tiny_network(make_tiny_network: Callable[[int], Network]) -> Network:
    return make_tiny_network(112)


@pytest.fixture(scope="session")
def crops() -> NDArray[np.uint8]:
    coarse = np.random.default_rng(5).integers(0, 256, (24, 7, 7, 3), dtype=np.uint8)
    return coarse.repeat(16, axis=1).repeat(16, axis=2)


@pytest.fixture(scope="session")
def float_file(tiny_network: Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The float32 ONNX file of `tiny_network`."""
    source = prepare_source(tiny_network, ExportFormat(), "tiny")
    return OnnxTarget().convert(source, "fp32", tmp_path_factory.mktemp("export")).files[0]


class UnavailableTarget(Target):
    """Writes a folder, as Core ML does, whose runtime does not exist on this machine."""

    name = "elsewhere"
    precisions = ("fp32",)
    required_packages: ClassVar[dict[str, str]] = {"numpy": "numpy"}
    runtime = "numpy"
    device_command = "bench {files} {size} {threads}"

    def convert(self, source: ExportSource, precision: Precision, folder: Path) -> ConvertedFiles:
        (folder / "tiny.else" / "deep").mkdir(parents=True)
        (folder / "tiny.else" / "deep" / "weights").write_bytes(b"12345")
        return ConvertedFiles((folder / "tiny.else",), ("It is a folder.",))

    def open(self, files: Sequence[Path], io_spec: IOSpec, threads: int = 1) -> Embedder:
        raise RuntimeUnavailableError("it runs elsewhere only")


@pytest.fixture(scope="session")
def source(tiny_network: Network, crops: NDArray[np.uint8]) -> ExportSource:
    return prepare_source(tiny_network, ExportFormat(), "tiny", crops)


@pytest.fixture(scope="session")
def noisy_pairs() -> Callable[[int, int], PairSet]:
    """Two noisy images of each identity, in several folds; the next identity is the impostor."""

    def make(identities: int, folds: int) -> PairSet:
        rng = np.random.default_rng(2)
        faces = rng.integers(0, 256, (identities, 7, 7, 3)).repeat(16, axis=1).repeat(16, axis=2)
        noisy = np.clip(faces[:, None] + rng.normal(0, 30, (identities, 2, 112, 112, 3)), 0, 255).astype(np.uint8)
        images = [[cv2.imencode(".png", image)[1].tobytes() for image in views] for views in noisy]
        first = [views[0] for views in images for _ in range(2)]
        second = [image for i, views in enumerate(images) for image in (views[1], images[(i + 1) % identities][1])]
        fold_size = 2 * identities // folds
        folds_of_pairs = [i // fold_size for i in range(2 * identities)]
        return build_pair_set(Path("pairs.bin"), first, second, [True, False] * identities, folds_of_pairs)

    return make


@pytest.fixture(scope="session")
def pairs(noisy_pairs: Callable[[int, int], PairSet]) -> PairSet:
    return noisy_pairs(16, 4)


@pytest.fixture(scope="session")
def exported_package(source: ExportSource, pairs: PairSet, tmp_path_factory: pytest.TempPathFactory) -> Package:
    """All ONNX files, and one whose runtime does not exist on this machine."""
    with registered(UnavailableTarget):
        return write_package(
            source, tmp_path_factory.mktemp("package") / "phone", [*ONNX_FILES, ("elsewhere", "fp32")],
            ExportValidator(source, source.calibration, pairs, [Gate("accuracy", 100)]),
            results={"verify-cfp": {"accuracy": 0.9, "accuracy_interval": [0.8, 0.95]}},
            provenance={"run": "abc", "license_data": "CC0"},
        )
