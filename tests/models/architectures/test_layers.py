from __future__ import annotations

import pytest
import torch
from torch import nn

from facekd.errors import ModelError
from facekd.models.architectures.layers import (
    Residual,
    conv_bn,
    initialize_convolutions,
    initialize_weights,
    scale_channels,
)


@pytest.mark.parametrize(("count", "width", "expected"), [(64, 1.0, 64), (24, 0.35, 8), (96, 0.35, 33), (10, 1.25, 12)])
def test_channels_are_rounded_down(count: int, width: float, expected: int) -> None:
    assert scale_channels(count, width) == expected


def test_a_width_that_leaves_no_channel_is_refused() -> None:
    with pytest.raises(ModelError, match=r"width 0\.01 leaves no channel of 64"):
        scale_channels(64, 0.01)


@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_the_default_padding_keeps_the_side(kernel: int) -> None:
    block = conv_bn(3, 6, kernel)
    assert block(torch.rand(2, 3, 9, 9)).shape == (2, 6, 9, 9)
    assert [type(module) for module in block] == [nn.Conv2d, nn.BatchNorm2d]
    assert block[0].bias is None


def test_stride_groups_padding_and_activation_are_passed_on() -> None:
    block = conv_bn(4, 4, 3, 2, 4, padding=0, activation=nn.ReLU())
    assert block(torch.rand(2, 4, 9, 9)).shape == (2, 4, 4, 4)
    assert block[0].groups == 4 and isinstance(block[-1], nn.ReLU)


def test_a_residual_adds_its_input() -> None:
    x = torch.rand(2, 3, 4, 4)
    torch.testing.assert_close(Residual(nn.Identity())(x), 2 * x)


def test_convolutions_get_the_deviation_of_he_for_fan_out() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(64, 256, 3), nn.Flatten(), nn.Linear(10, 10))
    linear = model[2].weight.clone()
    initialize_convolutions(model)
    assert model[0].weight.std().item() == pytest.approx((2 / (256 * 9)) ** 0.5, rel=0.02)
    assert torch.equal(model[2].weight, linear)


@pytest.mark.parametrize(("linear_std", "expected"), [(None, (2 / 400) ** 0.5), (0.01, 0.01)])
def test_linear_layers_get_he_s_or_the_given_deviation(linear_std: float | None, expected: float) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Linear(300, 400))
    initialize_weights(model, linear_std)
    assert model[1].weight.std().item() == pytest.approx(expected, rel=0.02)
    assert not model[0].bias.any() and not model[1].bias.any()
