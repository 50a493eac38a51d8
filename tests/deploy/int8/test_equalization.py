from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from facekd.data.synthetic.dataset import render_crop
from facekd.deploy.int8.equalization import equalize
from facekd.deploy.source import ExportFormat, ExportSource, prepare_source
from facekd.deploy.targets.onnx import OnnxTarget
from facekd.deploy.validation_gate import summarize_cosines
from facekd.errors import ExportError
from facekd.models.onnx_embedder import OnnxEmbedder
from facekd.models.registry import Network, create

SIZE = 32
NETWORKS: list[tuple[str, dict[str, Any]]] = [
    ("mobilefacenet", {"width": 0.25}), ("mobilefacenet", {"width": 0.25, "scale": 2}),
    ("mobilefacenet", {"width": 0.25, "activation": "relu"}), ("mobilenetv2", {"width": 0.25}),
    ("iresnet18", {"width": 0.25}),
]


@pytest.fixture(scope="module")
def crops() -> NDArray[np.uint8]:
    return np.stack([render_crop(person, 0, SIZE) for person in range(12)])


def unequal_network(name: str, options: dict[str, Any], largest: float = 5.0) -> Network:
    """A network in which channels are scaled by 0.05 to ``largest``."""
    torch.manual_seed(0)
    network = create(name, size=SIZE, outputs=16, **options)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.copy_(10 ** torch.empty_like(module.weight).uniform_(-1.3, math.log10(largest)))
                module.bias.normal_().mul_(module.weight)
    return network.eval()


def source_of(name: str, options: dict[str, Any], crops: NDArray[np.uint8]) -> ExportSource:
    return prepare_source(unequal_network(name, options), ExportFormat(), "m", crops)


@pytest.mark.parametrize(("name", "options"), NETWORKS)
def test_the_embeddings_are_equal_and_the_weights_are_not(
    name: str, options: dict[str, Any], crops: NDArray[np.uint8]
) -> None:
    source = source_of(name, options, crops)
    before = copy.deepcopy(source.network.state_dict())
    equalized = equalize(source)
    expected = source.embed(crops)
    np.testing.assert_allclose(equalized.embed(crops), expected, atol=5e-5 * np.abs(expected).max())
    changed = equalized.network.state_dict()
    assert any(not torch.equal(value, changed[key]) for key, value in before.items())
    assert all(torch.equal(value, source.network.state_dict()[key]) for key, value in before.items())
    assert equalized.spec == source.spec


def test_the_int8_file_of_unequal_channels_comes_nearer(crops: NDArray[np.uint8], tmp_path: Path) -> None:
    source = prepare_source(unequal_network("mobilenetv2", {"width": 0.25}, 20.0), ExportFormat(), "m", crops)
    expected = source.embed(crops)
    cosines = []
    for folder, candidate in (("plain", source), ("equalized", equalize(source))):
        (tmp_path / folder).mkdir()
        (file,) = OnnxTarget().convert(candidate, "int8", tmp_path / folder).files
        cosines.append(summarize_cosines(OnnxEmbedder(file).forward(crops), expected).mean)
    assert 1 - cosines[1] < 0.5 * (1 - cosines[0])


def test_depthwise_inputs_get_equal_ranges(crops: NDArray[np.uint8]) -> None:
    network = create("graph", size=SIZE, outputs=4, nodes=(
        '[["a","convolution",["input"],{"inputs":3,"outputs":6,"kernel":3,"stride":2}],["p","prelu",["a"],'
        '{"channels":6}],["d","convolution",["p"],{"inputs":6,"outputs":6,"kernel":3,"groups":6}],["m","pool",["d"],'
        '{}],["f","flatten",["m"],{}],["e","linear",["f"],{"inputs":6,"outputs":4}]]')).eval()
    with torch.no_grad():
        network.get_submodule("layers.a").weight.mul_(torch.tensor([1.0, 30, 0.02, 5, 1, 0.1]).view(-1, 1, 1, 1))
    equalized = equalize(prepare_source(network, ExportFormat(), "m", crops)).network
    pixels = equalized.preprocess(torch.from_numpy(crops))
    values = equalized.get_submodule("layers.a")(pixels)
    ranges = values.abs().amax((0, 2, 3))
    torch.testing.assert_close(ranges, ranges.mean().expand(6), rtol=1e-4, atol=0)


def test_a_network_without_a_graph_stays_as_it_is(tiny_source: ExportSource) -> None:
    assert equalize(tiny_source) is tiny_source


@pytest.fixture
def tiny_source(crops: NDArray[np.uint8]) -> ExportSource:
    """A network with an activation that graphs do not have."""

    class Other(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.tanh(x)

    network = create("mobilefacenet", size=SIZE, outputs=8, width=0.25)
    network.gdc = nn.Sequential(Other(), network.gdc)
    return prepare_source(network, ExportFormat(), "m", crops)


def test_it_needs_calibration_crops() -> None:
    source = prepare_source(create("mobilefacenet", size=SIZE, outputs=8, width=0.25), ExportFormat(), "m")
    with pytest.raises(ExportError, match="without calibration crops"):
        equalize(source)
