from __future__ import annotations

from typing import Any

import pytest
import torch

from facekd.deploy.students.grid import COUNTED_SIZES, VARIANTS
from facekd.deploy.students.layer_counts import LayerCounts, count_layers, extrapolate_counts
from facekd.models.complexity import count_macs, count_parameters
from facekd.models.registry import create


def extrapolated(name: str, size: int, **options: Any) -> LayerCounts:
    small, large = (count_layers(name, counted, 96, **options) for counted in COUNTED_SIZES)
    return extrapolate_counts(small, large, COUNTED_SIZES, size)


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_parameters_and_multiply_adds_are_those_of_the_network_at_another_size(variant: Any) -> None:
    network = create(variant.name, size=112, outputs=96, width=variant.widths[0], **variant.options)
    counts = extrapolated(variant.name, 112, width=variant.widths[0], **variant.options)
    assert (counts.parameters, counts.macs) == (count_parameters(network), count_macs(network, 112))


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_all_counts_are_those_that_are_counted_at_another_size(variant: Any) -> None:
    options = {"width": variant.widths[0], **variant.options}
    assert extrapolated(variant.name, 80, **options) == count_layers(variant.name, 80, 96, **options)


def test_layers_of_mobilefacenet_are_those_of_its_paper() -> None:
    counts = count_layers("mobilefacenet", 32, 128)
    assert (counts.layers, counts.prelus, counts.norms) == (50, 33, 0)


def test_batch_norms_of_iresnet_stay_where_no_layer_precedes_them() -> None:
    counts = count_layers("iresnet10", 32, 8, width=0.125)
    assert (counts.norms, counts.norm_channels) == (5, 8 + 8 + 16 + 32 + 64)
    assert counts.slopes == 2 * (8 + 8 + 16 + 32 + 64)


def test_the_random_numbers_of_torch_are_left_as_they_are() -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    count_layers("mobilefacenet", 32, 8, width=0.25)
    assert torch.rand(1) == expected
