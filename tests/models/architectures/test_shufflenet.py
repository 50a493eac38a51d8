from __future__ import annotations

import pytest
import torch
from torch import nn

import facekd.models  # noqa: F401
from facekd.models.complexity import count_macs, count_parameters
from facekd.models.registry import create


@pytest.mark.parametrize(("name", "count", "multiply_adds"), [
    # RepDistiller's own nets with 100 classes, counted.
    ("shufflenetv1", 949_258, 38_691_456), ("shufflenetv2", 1_355_528, 44_504_448),
])
def test_costs_are_those_of_the_crd_benchmark(name: str, count: int, multiply_adds: int) -> None:
    with torch.device("meta"):
        network = create(name, size=32, outputs=100)
        assert (count_parameters(network), count_macs(network, 32)) == (count, multiply_adds)


def test_v2_is_the_published_net_but_for_its_stem() -> None:
    # torchvision's shufflenet_v2_x1_0: 2,278,604 with 1000 classes and a 3 x 3 stem.
    with torch.device("meta"):
        assert count_parameters(create("shufflenetv2", outputs=1000)) + 24 * 3 * (9 - 1) == 2_278_604


@pytest.mark.parametrize(("name", "counts"), [("shufflenetv1", (240, 480, 960)), ("shufflenetv2", (116, 232, 464))])
@pytest.mark.parametrize("size", [32, 64])
def test_each_stage_halves_the_side(name: str, counts: tuple[int, ...], size: int) -> None:
    with torch.device("meta"):
        network = create(name, size=size, outputs=10)
        x, shapes = torch.empty(2, 24, size, size), []
        for stage in network.stages:
            x = network.get_submodule(stage)(x)
            shapes.append(tuple(x.shape[1:3]))
    assert shapes == list(zip(counts, (size // 2, size // 4, size // 8), strict=True))


def test_v1_concatenates_the_average_of_its_input() -> None:
    torch.manual_seed(0)
    unit = create("shufflenetv1", size=32, outputs=10).eval().get_submodule("trunk.0.0")
    x = torch.rand(2, 24, 8, 8)
    output = unit(x)
    torch.testing.assert_close(output[:, -24:], nn.AvgPool2d(3, 2, 1)(x))
    assert output.shape == (2, 240, 4, 4)


def test_v2_passes_one_half_through_unchanged() -> None:
    torch.manual_seed(0)
    unit = create("shufflenetv2", size=32, outputs=10).eval().get_submodule("trunk.0.1")
    x = torch.randn(2, 116, 4, 4)
    assert torch.equal(unit(x)[:, 0::2], x[:, :58])  # shuffled: channels of the halves alternate
