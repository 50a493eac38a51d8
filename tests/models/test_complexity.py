from __future__ import annotations

import pytest
import torch
from torch import nn

import facekd.models  # noqa: F401
from facekd.models.complexity import count_macs, count_parameters
from facekd.models.registry import create


@pytest.mark.parametrize(("name", "embedding", "millions", "giga"), [
    # arcface_torch's published table: iresnet at 112 px and 512 dimensions.
    ("iresnet18", 512, 24.03, 2.61), ("iresnet34", 512, 34.14, 4.46),
    ("iresnet50", 512, 43.59, 6.31), ("iresnet100", 512, 65.16, 12.09),
    # Chen et al. 2018: 221 M multiply-adds; arcface_torch's "0.45 G" net is the one of scale 2, below.
    ("mobilefacenet", 128, 1.003, 0.221),
])
def test_costs_are_the_published_ones(name: str, embedding: int, millions: float, giga: float) -> None:
    with torch.device("meta"):
        model = create(name, outputs=embedding)
    assert count_parameters(model) / 1e6 == pytest.approx(millions, rel=1e-3)
    assert count_macs(model, 112) / 1e9 == pytest.approx(giga, rel=2e-3)


def test_scale_2_is_arcface_torchs_mobilefacenet_045_g() -> None:
    with torch.device("meta"):
        assert count_macs(create("mobilefacenet", scale=2), 112) / 1e9 == pytest.approx(0.45, rel=0.03)


@pytest.mark.parametrize(("model", "size", "count"), [
    (nn.Conv2d(3, 8, 3, stride=2, padding=1), 32, 16 * 16 * 8 * 3 * 9),
    (nn.Sequential(nn.Conv2d(3, 6, 1), nn.Conv2d(6, 6, 3, groups=6)), 16, 16 * 16 * 3 * 6 + 14 * 14 * 6 * 9),
    (nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 10)), 8, 3 * 8 * 8 * 10),
    (nn.Sequential(nn.BatchNorm2d(3), nn.ReLU()), 8, 0),
])
def test_layers_count_as_the_formula_says(model: nn.Module, size: int, count: int) -> None:
    assert count_macs(model, size) == count


@pytest.mark.parametrize("training", [True, False])
def test_counting_leaves_the_model_as_it_was(training: bool) -> None:
    torch.manual_seed(0)
    model = create("mobilefacenet", size=32, outputs=8, width=0.25).train(training)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    count_macs(model, 32)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert all(module.training is training for module in model.modules())
