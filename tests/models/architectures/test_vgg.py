from __future__ import annotations

import pytest
import torch
from torch import nn

import facekd.models  # noqa: F401
from facekd.models.complexity import count_macs, count_parameters
from facekd.models.feature_extractor import FeatureExtractor
from facekd.models.registry import create


@pytest.mark.parametrize(("name", "count", "multiply_adds"), [
    # RepDistiller's own nets with 100 classes, counted.
    ("vgg8", 3_965_028, 96_192_512), ("vgg11", 9_277_284, 209_438_720), ("vgg13", 9_462_180, 284_936_192),
    ("vgg16", 14_774_436, 398_182_400), ("vgg19", 20_086_692, 511_428_608),
])
def test_costs_are_those_of_the_crd_benchmark(name: str, count: int, multiply_adds: int) -> None:
    with torch.device("meta"):
        network = create(name, size=32, outputs=100)
        assert (count_parameters(network), count_macs(network, 32)) == (count, multiply_adds)


@pytest.mark.parametrize(("name", "count"), [  # torchvision's vgg*_bn: all of them less the three linear layers
    ("vgg11", 132_868_840), ("vgg13", 133_053_736), ("vgg16", 138_365_992), ("vgg19", 143_678_248),
])
def test_convolutions_are_those_of_torchvision(name: str, count: int) -> None:
    linear = sum((inputs + 1) * outputs for inputs, outputs in ((512 * 7 * 7, 4096), (4096, 4096), (4096, 1000)))
    with torch.device("meta"):
        assert count_parameters(create(name, size=32, outputs=1)) - 513 == count - linear


def test_the_name_counts_the_layers_of_the_original() -> None:
    for name, own in (("vgg11", 9), ("vgg13", 11), ("vgg16", 14), ("vgg19", 17)):  # two linear layers are left out
        with torch.device("meta"):
            layers = [m for m in create(name).modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
        assert len(layers) == own


@pytest.mark.parametrize(("size", "sides"), [
    (32, [32, 16, 8, 4, 4]), (48, [48, 24, 12, 6, 6]), (64, [64, 32, 16, 8, 4]), (112, [112, 56, 28, 14, 7]),
])
def test_the_fourth_pool_is_for_larger_images(size: int, sides: list[int]) -> None:
    network = create("vgg8", size=size, outputs=10, width=0.1).eval()
    maps = FeatureExtractor(network)(torch.rand(1, 3, size, size)).feature_maps
    assert [m.shape[-1] for m in maps] == sides
    assert not any((m < 0).any() for m in maps)
