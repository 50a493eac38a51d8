"""A network small enough to be exported in seconds, its exported file, and a package of it."""

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
from facekd.data.pairs.pair_set import PairSet, paired
from facekd.deploy.export import Wish, write_package
from facekd.deploy.package import Package
from facekd.deploy.source import Form, Interface, Source, freeze
from facekd.deploy.targets import Made, Target
from facekd.deploy.targets.base import _TARGETS, NotRunnable, Precision
from facekd.deploy.targets.onnx import OnnxTarget
from facekd.deploy.validation import Prover
from facekd.deploy.validation_gate import Gate
from facekd.models.embedder import Embedder
from facekd.models.registry import ModelSpec, Network

ALL: list[Wish] = [("onnx", "fp32"), ("onnx", "fp16"), ("onnx", "int8")]


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


class Elsewhere(Target):
    """Writes a folder, as Core ML does, which nothing on this machine runs."""

    name = "elsewhere"
    precisions = ("fp32",)
    modules: ClassVar[dict[str, str]] = {"numpy": "numpy"}
    runtime = "numpy"
    device = "bench {files} {size} {threads}"

    def convert(self, source: Source, precision: Precision, folder: Path) -> Made:
        (folder / "tiny.else" / "deep").mkdir(parents=True)
        (folder / "tiny.else" / "deep" / "weights").write_bytes(b"12345")
        return Made((folder / "tiny.else",), ("It is a folder.",))

    def open(self, files: Sequence[Path], interface: Interface, threads: int = 1) -> Embedder:
        raise NotRunnable("it runs elsewhere only")


@pytest.fixture(scope="session")
def source(tiny: Network, crops: NDArray[np.uint8]) -> Source:
    return freeze(tiny, Form(), "tiny", crops)


@pytest.fixture(scope="session")
def noisy_pairs() -> Callable[[int, int], PairSet]:
    """Two noisy pictures each of so many people, in so many folds; a neighbour is the impostor."""

    def make(people: int, folds: int) -> PairSet:
        rng = np.random.default_rng(2)
        faces = rng.integers(0, 256, (people, 7, 7, 3)).repeat(16, axis=1).repeat(16, axis=2)
        noisy = np.clip(faces[:, None] + rng.normal(0, 30, (people, 2, 112, 112, 3)), 0, 255).astype(np.uint8)
        data = [[cv2.imencode(".png", image)[1].tobytes() for image in person] for person in noisy]
        first = [person[0] for person in data for _ in range(2)]
        second = [image for i, person in enumerate(data) for image in (person[1], data[(i + 1) % people][1])]
        each = 2 * people // folds
        return paired(Path("pairs.bin"), first, second, [True, False] * people, [i // each for i in range(2 * people)])

    return make


@pytest.fixture(scope="session")
def pairs(noisy_pairs: Callable[[int, int], PairSet]) -> PairSet:
    return noisy_pairs(16, 4)


@pytest.fixture(scope="session")
def written(source: Source, pairs: PairSet, tmp_path_factory: pytest.TempPathFactory) -> Package:
    """All ONNX files, and one of a runtime that is not here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(_TARGETS, "elsewhere", Elsewhere)
        return write_package(
            source, tmp_path_factory.mktemp("package") / "phone", [*ALL, ("elsewhere", "fp32")],
            Prover(source, source.calibration, pairs, Gate(100)),
            results={"verify-cfp": {"accuracy": 0.9, "accuracy_interval": [0.8, 0.95]}},
            provenance={"run": "abc", "licence_data": "CC0"},
        )
