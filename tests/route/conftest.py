"""Routes whose points are known."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch

from facekd.models.registry import ModelSpec, Network, create
from facekd.route.route import Point, Route


@pytest.fixture
def make_route(tmp_path: Path) -> Callable[..., Route]:
    """``make_route(count)`` makes a route whose points are one epoch apart; their weight files are absent."""

    def make(count: int, reasons: Sequence[str] = ()) -> Route:
        all_reasons = [*reasons, *["epoch"] * count][:count]
        points = [Point(10 * (i + 1), i + 1.0, 0.1, all_reasons[i], f"{i}.safetensors", f"{i:064d}")
                  for i in range(count)]
        route = Route(tmp_path / "runs" / "teacher" / "route", ModelSpec("resnet8", 32, 4, {"width": 0.25}), points)
        route.write()
        return route

    return make


@pytest.fixture(scope="session")
def random_points(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that `random_route` is a copy of."""
    route = Route(tmp_path_factory.mktemp("random"), random_network(0).spec)
    for number in range(3):
        route.record(random_network(number), number + 1, number + 1.0, 0.1, "epoch", {})
    return route.folder


@pytest.fixture
def random_route(random_points: Path, tmp_path: Path) -> Route:
    """Three points of a classifier of 4 classes, each with its own random weights; without caches."""
    shutil.copytree(random_points, tmp_path / "random")
    return Route.open(tmp_path / "random")


def random_network(seed: int) -> Network:
    """A tiny classifier of 4 classes whose outputs differ clearly from image to image."""
    torch.manual_seed(seed)
    network = create("resnet8", size=32, outputs=4, width=0.5)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0  # one batch is enough for running statistics that fit the weights
    with torch.no_grad():
        network(network.preprocess(torch.randint(0, 256, (32, 32, 32, 3), dtype=torch.uint8)))
    return network.eval()
