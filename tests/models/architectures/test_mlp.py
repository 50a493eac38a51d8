from __future__ import annotations

from typing import Any

import pytest
import torch

import facekd.models  # noqa: F401
from facekd.errors import ModelError
from facekd.losses import create_loss, get_loss_class, list_losses
from facekd.models.complexity import count_macs, count_parameters
from facekd.models.feature_extractor import FeatureExtractor
from facekd.models.registry import create
from facekd.types import DatasetSize


@pytest.mark.parametrize(("hidden", "cells", "width", "units"), [
    (1000, 8, 1.0, 1000), (32, 8, 1.0, 32), (1000, 8, 0.032, 32), (10, 4, 2.0, 20), (5, 16, 0.5, 2), (7, 1, 1.0, 7),
])
def test_costs_are_those_of_two_linear_layers(hidden: int, cells: int, width: float, units: int) -> None:
    network = create("mlp", size=32, outputs=2, hidden=hidden, cells=cells, width=width)
    assert count_parameters(network) == (cells * cells + 1) * units + (units + 1) * 2
    assert count_macs(network, 32) == cells * cells * units + units * 2


def test_the_docstring_states_the_costs() -> None:
    teacher = create("mlp", size=32, outputs=2)
    student = create("mlp", size=32, outputs=2, hidden=32)
    assert (count_parameters(teacher), count_macs(teacher, 32), count_parameters(student)) == (67_002, 66_000, 2_146)


@pytest.mark.parametrize(("size", "cells"), [(32, 8), (32, 32), (112, 7), (48, 1)])
def test_the_output_is_the_formula_for_the_means_of_the_cells(size: int, cells: int) -> None:
    torch.manual_seed(0)
    network = create("mlp", size=size, outputs=3, hidden=11, cells=cells).double()
    images = torch.randn(4, 3, size, size, dtype=torch.float64)
    side = size // cells
    means = torch.stack([
        images[:, :, row * side:(row + 1) * side, column * side:(column + 1) * side].mean((1, 2, 3))
        for row in range(cells) for column in range(cells)
    ], dim=1)
    weights = network.state_dict()
    hidden = (means @ weights["fc1.weight"].T + weights["fc1.bias"]).clamp(min=0)
    torch.testing.assert_close(network(images), hidden @ weights["fc.weight"].T + weights["fc.bias"])


def test_equal_means_give_equal_outputs() -> None:
    network = create("mlp", size=32, outputs=2, hidden=9).eval()
    images = torch.randn(2, 3, 32, 32)
    means = images.mean(1, keepdim=True).unfold(2, 4, 4).unfold(3, 4, 4).mean((-1, -2))
    flat = means.repeat_interleave(4, 2).repeat_interleave(4, 3).expand(-1, 3, -1, -1)
    torch.testing.assert_close(network(flat), network(images))


@pytest.mark.parametrize("cells", [0, 3, 5, 64])
def test_a_grid_that_does_not_fit_is_refused(cells: int) -> None:
    with pytest.raises(ModelError, match=f"mlp: 32 pixels cannot be divided into {cells} cells"):
        create("mlp", size=32, cells=cells)


@pytest.mark.parametrize("options", [{"hidden": 0}, {"width": 0.0}, {"hidden": 3, "width": 0.1}])
def test_no_hidden_unit_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match="leaves no channel"):
        create("mlp", size=32, **options)


def test_it_has_the_input_of_the_last_layer_but_no_feature_maps() -> None:
    network = create("mlp", size=32, outputs=3, hidden=20)
    output = FeatureExtractor(network)(torch.randn(2, 3, 32, 32))
    assert output.feature_maps == () and output.features.shape == (2, 20)
    torch.testing.assert_close(network.get_submodule("fc")(output.features), output.outputs)


@pytest.mark.parametrize("name", [name for name in list_losses() if get_loss_class(name).needs_feature_maps])
@pytest.mark.parametrize("without_maps", ["student", "teacher", "both"])
def test_losses_of_feature_maps_refuse_it_before_training(name: str, without_maps: str) -> None:
    images = torch.randn(2, 3, 32, 32)
    mlp_output = FeatureExtractor(create("mlp", size=32, outputs=3, hidden=20))(images)
    resnet_output = FeatureExtractor(create("resnet8", size=32, outputs=3))(images)
    student = resnet_output if without_maps == "teacher" else mlp_output
    teacher = resnet_output if without_maps == "student" else mlp_output
    with pytest.raises(ModelError, match=rf"loss {name}: .* no feature maps.*without stages \(mlp\) has none"):
        create_loss(name, student, teacher, DatasetSize(10, 3))


def test_a_layer_for_feature_maps_is_refused() -> None:
    network = create("mlp", size=32, outputs=3, hidden=20)
    with pytest.raises(ModelError, match=r"mlp has no module 'layer1': .*; its stages are none$"):
        FeatureExtractor(network, ["layer1"])
    with pytest.raises(ModelError, match=r"mlp: the output of 'fc1' is \[2, 20\], not a feature map"):
        FeatureExtractor(network, ["fc1"])(torch.randn(2, 3, 32, 32))
