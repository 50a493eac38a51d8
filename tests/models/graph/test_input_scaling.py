from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facekd.errors import ModelError
from facekd.models.graph.description import INPUT, Node
from facekd.models.graph.input_scaling import InputScaling
from facekd.models.input_format import InputFormat

FIRST = Node("first", "convolution", (INPUT,), {"inputs": 3, "outputs": 1})
WEIGHTS = {"first.weight": np.arange(1.0, 4).reshape(1, 3, 1, 1)}


def scaling(mean: float, std: float, input_format: InputFormat | None = None) -> InputScaling:
    result = InputScaling(input_format or InputFormat("raw"), Path("m.onnx"))
    result.follow(np.ones(1), np.array([-mean]))
    result.follow(np.array([1 / std]), np.zeros(1))
    return result


def test_without_a_scaling_nothing_changes() -> None:
    nodes, weights = InputScaling(InputFormat("unit"), Path("m.onnx")).apply([FIRST], WEIGHTS)
    assert nodes == [FIRST] and np.array_equal(weights["first.weight"], WEIGHTS["first.weight"])


def test_insightfaces_scaling_becomes_a_factor_of_the_weights() -> None:
    nodes, weights = scaling(127.5, 128).apply([FIRST], WEIGHTS)
    assert nodes == [FIRST]
    np.testing.assert_allclose(weights["first.weight"], WEIGHTS["first.weight"] * 127.5 / 128)


def test_a_summand_becomes_a_layer() -> None:
    nodes, weights = scaling(100, 50).apply([FIRST], WEIGHTS)
    assert [node.inputs for node in nodes] == [(INPUT,), ("scaling",)]
    np.testing.assert_allclose(weights["scaling.weight"] * 1 + weights["scaling.bias"], (255 - 100) / 50)
    np.testing.assert_allclose(weights["scaling.weight"] * -1 + weights["scaling.bias"], (0 - 100) / 50)


@pytest.mark.parametrize("pixels", ["raw", "zero-one", "unit", "imagenet"])
@pytest.mark.parametrize("channels", ["rgb", "bgr"])
def test_any_input_is_computed_from_ours(pixels: str, channels: str) -> None:
    fed = InputFormat(pixels, channels)  # type: ignore[arg-type]
    nodes, weights = scaling(0.25, 3, fed).apply([FIRST], WEIGHTS)
    crops = np.random.default_rng(0).integers(0, 256, (5, 1, 1, 3), dtype=np.uint8)
    expected = ((fed.preprocess(crops) - 0.25) / 3 * WEIGHTS["first.weight"]).sum((1, 2, 3))
    ours = (crops.transpose(0, 3, 1, 2) - 127.5) / 127.5
    if len(nodes) == 2:
        ours = ours * weights["scaling.weight"].reshape(3, 1, 1) + weights["scaling.bias"].reshape(3, 1, 1)
    np.testing.assert_allclose((ours * weights["first.weight"]).sum((1, 2, 3)), expected, rtol=1e-5)


def test_bgr_needs_a_convolution() -> None:
    relu = Node("first", "relu", (INPUT,), {})
    with pytest.raises(ModelError, match="takes BGR, and its first layer is no convolution"):
        scaling(127.5, 128, InputFormat("raw", "bgr")).apply([relu], {})
