from __future__ import annotations

import numpy as np
import pytest

from facekd.models.graph.description import INPUT, Node
from facekd.models.graph.input_scaling import InputScaling

FIRST = Node("first", "convolution", (INPUT,), {"inputs": 3, "outputs": 1})
WEIGHTS = {"first.weight": np.ones((1, 3, 1, 1))}


def scaling(mean: float, std: float, raw_pixels: bool | None = None) -> InputScaling:
    result = InputScaling(raw_pixels)
    result.follow(np.ones(1), np.array([-mean]))
    result.follow(np.array([1 / std]), np.zeros(1))
    return result


def test_without_a_scaling_nothing_changes() -> None:
    nodes, weights = InputScaling(None).apply([FIRST], WEIGHTS)
    assert nodes == [FIRST] and np.array_equal(weights["first.weight"], WEIGHTS["first.weight"])


def test_insightfaces_scaling_becomes_a_factor_of_the_weights() -> None:
    nodes, weights = scaling(127.5, 128).apply([FIRST], WEIGHTS)
    assert nodes == [FIRST]
    np.testing.assert_allclose(weights["first.weight"], 127.5 / 128)


def test_a_summand_becomes_a_layer() -> None:
    nodes, weights = scaling(100, 50).apply([FIRST], WEIGHTS)
    assert [node.inputs for node in nodes] == [(INPUT,), ("scaling",)]
    np.testing.assert_allclose(weights["scaling.weight"] * 1 + weights["scaling.bias"], (255 - 100) / 50)
    np.testing.assert_allclose(weights["scaling.weight"] * -1 + weights["scaling.bias"], (0 - 100) / 50)


@pytest.mark.parametrize(("given", "factor", "taken"), [(None, 1 / 128, True), (None, 1.0, False), (None, 2.0, False),
                                                        (True, 1.0, True), (False, 1 / 128, False)])
def test_pixels_are_raw_if_said_or_if_the_scaling_makes_them_small(given: bool, factor: float, taken: bool) -> None:
    result = InputScaling(given)
    result.follow(np.array([factor]), np.zeros(1))
    assert result.takes_raw_pixels == taken
