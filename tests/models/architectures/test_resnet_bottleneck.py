from __future__ import annotations

import pytest
import torch

import facekd.models  # noqa: F401
from facekd.models.complexity import count_macs, count_parameters
from facekd.models.registry import create


def test_costs_are_those_of_the_crd_benchmark() -> None:
    # RepDistiller's own net with 100 classes, counted.
    with torch.device("meta"):
        network = create("resnet50_cifar", size=32, outputs=100)
        assert (count_parameters(network), count_macs(network, 32)) == (23_705_252, 1_298_014_208)


def test_it_is_imagenets_net_but_for_the_stem() -> None:
    # torchvision's resnet50: 25,557,032 with 1000 classes and a 7 x 7 stem.
    with torch.device("meta"):
        network = create("resnet50_cifar", size=32, outputs=1000)
    assert count_parameters(network) + 64 * 3 * (7 * 7 - 3 * 3) == 25_557_032


@pytest.mark.parametrize(("size", "sides"), [(32, (32, 16, 8, 4)), (64, (64, 32, 16, 8))])
def test_three_stages_halve_the_side(size: int, sides: tuple[int, ...]) -> None:
    with torch.device("meta"):
        network = create("resnet50_cifar", size=size, outputs=10)
        x, shapes = torch.empty(2, 64, size, size), []
        for stage in network.stages:
            x = network.get_submodule(stage)(x)
            shapes.append(tuple(x.shape[1:3]))
    assert shapes == list(zip((256, 512, 1024, 2048), sides, strict=True))
