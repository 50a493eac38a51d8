from __future__ import annotations

import pytest
import torch
from torch import nn

import facekd.models  # noqa: F401
from facekd.models.complexity import count_macs, count_parameters
from facekd.models.registry import create


@pytest.mark.parametrize(("name", "count", "multiply_adds"), [
    # RepDistiller's own nets with 100 classes, counted.
    ("wrn_16_2", 703_284, 101_118_464), ("wrn_40_1", 569_780, 83_286_272), ("wrn_40_2", 2_255_156, 327_610_880),
])
def test_costs_are_those_of_the_crd_benchmark(name: str, count: int, multiply_adds: int) -> None:
    with torch.device("meta"):
        network = create(name, size=32, outputs=100)
        assert (count_parameters(network), count_macs(network, 32)) == (count, multiply_adds)


@pytest.mark.parametrize(("name", "millions"), [("wrn_16_2", 0.7), ("wrn_40_1", 0.6), ("wrn_40_2", 2.2)])
def test_parameters_are_the_papers(name: str, millions: float) -> None:
    # Zagoruyko and Komodakis, CIFAR-10: 40-1 and 40-2 in BMVC 2016, 16-2 in ICLR 2017 (attention transfer).
    with torch.device("meta"):
        assert round(count_parameters(create(name, size=32, outputs=10)) / 1e6, 1) == millions


def test_a_shortcut_without_weights_is_the_input_itself() -> None:
    torch.manual_seed(0)
    block = create("wrn_16_2", size=32, outputs=10).eval().get_submodule("block2.layer.1")
    nn.init.zeros_(block.get_parameter("conv2.weight"))
    x = torch.randn(2, 64, 8, 8)
    assert torch.equal(block(x), x)


def test_a_shortcut_with_weights_sees_what_the_first_convolution_sees() -> None:
    torch.manual_seed(0)
    block = create("wrn_16_2", size=32, outputs=10).eval().get_submodule("block2.layer.0")
    nn.init.zeros_(block.get_parameter("conv2.weight"))
    with torch.no_grad():
        assert not block(-torch.rand(2, 32, 8, 8)).any()  # BN and ReLU leave nothing of what is negative


@pytest.mark.parametrize(("size", "sides"), [(32, (32, 16, 8)), (64, (64, 32, 16))])
def test_two_stages_halve_the_side(size: int, sides: tuple[int, ...]) -> None:
    with torch.device("meta"):
        network = create("wrn_16_2", size=size, outputs=10)
        x, shapes = torch.empty(2, 16, size, size), []
        for stage in network.stages:
            x = network.get_submodule(stage)(x)
            shapes.append(tuple(x.shape[1:3]))
    assert shapes == list(zip((32, 64, 128), sides, strict=True))
