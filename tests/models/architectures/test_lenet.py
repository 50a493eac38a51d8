from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import facekd.models  # noqa: F401
from facekd.errors import ModelError
from facekd.models.complexity import count_macs, count_parameters
from facekd.models.feature_extractor import FeatureExtractor
from facekd.models.registry import create


def costs(size: int, outputs: int, width: int) -> tuple[int, int]:
    """Parameters and multiply-adds of LeNet-5, from the numbers of its layers in the paper's figure 2."""
    first_side = size - 4
    second_side = first_side // 2 - 4
    a, b, c, d = 6 * width, 16 * width, 120 * width, 84 * width
    flat = b * (second_side // 2) ** 2
    weights = [3 * 25 * a, a * 25 * b, flat * c, c * d, d * outputs]
    positions = [first_side**2, second_side**2, 1, 1, 1]
    macs = sum(weight * count for weight, count in zip(weights, positions, strict=True))
    return sum(weights) + a + b + c + d + outputs, macs


@pytest.mark.parametrize(("size", "outputs", "width"), [
    (32, 10, 1), (32, 10, 4), (32, 100, 8), (64, 10, 2), (112, 7, 1),
])
def test_costs_are_those_of_the_formula(size: int, outputs: int, width: int) -> None:
    with torch.device("meta"):
        network = create("lenet", size=size, outputs=outputs, width=width)
        assert (count_parameters(network), count_macs(network, size)) == costs(size, outputs, width)


def test_the_docstring_states_the_costs() -> None:
    parameters, macs = costs(32, 10, 4)
    with torch.device("meta"):
        assert count_parameters(create("lenet", size=32, outputs=10)) == parameters
    assert (round(parameters / 1e6, 3), round(macs / 1e6, 3)) == (0.974, 6.184)


def test_width_1_has_the_parameters_of_lenet_5_in_color() -> None:
    # 61,706 are those of LeNet-5 for gray images with full connections and 10 linear outputs.
    with torch.device("meta"):
        assert count_parameters(create("lenet", size=32, outputs=10, width=1.0)) == 61_706 + 2 * 25 * 6


def test_it_has_no_normalization_layer() -> None:
    kinds = {type(module) for module in create("lenet", size=32).modules() if not list(module.children())}
    assert kinds == {nn.Conv2d, nn.ReLU, nn.MaxPool2d, nn.Linear}
    assert not list(create("lenet", size=32).buffers())


@pytest.mark.parametrize("size", [32, 48])
def test_the_output_is_the_papers_chain_of_layers(size: int) -> None:
    torch.manual_seed(0)
    network = create("lenet", size=size, outputs=5, width=1.0).double()
    images = torch.randn(3, 3, size, size, dtype=torch.float64)
    w = network.state_dict()
    x = images
    for block in ("block1", "block2"):
        x = F.conv2d(x, w[f"{block}.0.weight"], w[f"{block}.0.bias"]).clamp(min=0)
        x = x.unfold(2, 2, 2).unfold(3, 2, 2).amax((-1, -2))
    x = x.reshape(3, -1)
    for layer in ("fc1", "fc2"):
        x = (x @ w[f"{layer}.weight"].T + w[f"{layer}.bias"]).clamp(min=0)
    torch.testing.assert_close(network(images), x @ w["fc.weight"].T + w["fc.bias"])


@pytest.mark.parametrize(("size", "sides"), [(32, [14, 5]), (64, [30, 13]), (112, [54, 25])])
def test_the_feature_maps_are_those_of_the_two_blocks(size: int, sides: list[int]) -> None:
    network = create("lenet", size=size, outputs=10, width=2.0)
    output = FeatureExtractor(network)(torch.rand(1, 3, size, size))
    assert [tuple(m.shape[1:]) for m in output.feature_maps] == [
        (count, side, side) for count, side in zip((12, 32), sides, strict=True)
    ]
    assert all(not (m < 0).any() for m in output.feature_maps) and output.features.shape == (1, 168)


def test_a_width_without_channels_is_refused() -> None:
    with pytest.raises(ModelError, match="leaves no channel of 6"):
        create("lenet", size=32, width=0.1)
