from __future__ import annotations

import pytest
import torch
from torch import Tensor

from facekd.models.graph.layers import LAYERS

MAPS = torch.randn(2, 4, 3, 3, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("layer", "options", "expected"), [
    ("relu", {}, MAPS.clamp(min=0)), ("clip", {"low": 0.0, "high": 0.5}, MAPS.clamp(0, 0.5)),
    ("prelu", {"channels": 4}, torch.where(MAPS > 0, MAPS, 0.25 * MAPS)), ("affine", {"channels": 4}, MAPS),
    ("pool", {}, MAPS.mean((2, 3), keepdim=True)), ("flatten", {}, MAPS.reshape(2, 36)),
])
def test_a_layer_computes_what_its_name_says(layer: str, options: dict[str, object], expected: Tensor) -> None:
    torch.testing.assert_close(LAYERS[layer].create(**options)(MAPS), expected)


def test_an_affine_layer_has_a_factor_and_a_summand_for_each_channel() -> None:
    layer = LAYERS["affine"].create(channels=4)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(torch.arange(4))
    factors = torch.arange(4.0).view(4, 1, 1)
    torch.testing.assert_close(layer(MAPS), MAPS * factors + factors)
    torch.testing.assert_close(layer(MAPS[:, :, 0, 0]), (MAPS * factors + factors)[:, :, 0, 0])


def test_two_tensors_are_added() -> None:
    assert LAYERS["add"].inputs == 2 and torch.equal(LAYERS["add"].create()(MAPS, MAPS), 2 * MAPS)


@pytest.mark.parametrize("option", ["outputs", "kernel", "stride", "groups"])
def test_a_convolution_without_extent_is_refused(option: str) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        LAYERS["convolution"].create(**{option: 0})
