from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from facekd.models.onnx_input import InputEvidence, read_evidence, takes_raw_by_names

IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])


def graph(*steps: tuple[str, object], names: str = "", transposed: bool = False) -> onnx.GraphProto:
    """A graph with one operator and one constant per step, then a convolution."""
    nodes, weights, value = [], [], "x"
    if transposed:
        nodes, value = [helper.make_node("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2])], "t"
    for number, (operator, constant) in enumerate(steps):
        array = np.asarray(constant, np.float32)
        weights.append(numpy_helper.from_array(array.reshape(-1, 1, 1) if array.size > 1 else array, f"c{number}"))
        nodes.append(helper.make_node(operator, [value, f"c{number}"], [f"v{number}"], f"{names}{operator}_{number}"))
        value = f"v{number}"
    nodes.append(helper.make_node("Conv", [value, "w"], ["y"], "Conv"))
    return helper.make_graph(nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, None)],
                             [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)], weights)


@pytest.mark.parametrize(
    ("steps", "pixels"),
    [
        ([], None),
        ([("Sub", 127.5), ("Div", 127.5)], "raw"),
        ([("Sub", 127.5), ("Mul", 0.0078125)], "raw"),
        ([("Mul", 1 / 127.5), ("Sub", 1)], "raw"),
        ([("Div", 255)], "raw"),
        ([("Div", 255), ("Sub", 0.5), ("Div", 0.5)], "raw"),
        ([("Sub", [123.675, 116.28, 103.53]), ("Div", [58.395, 57.12, 57.375])], "raw"),
        ([("Sub", [91.4953, 103.8827, 131.0912])], "raw"),
        ([("Sub", 0.5), ("Div", 0.5)], "zero-one"),
        ([("Mul", 2), ("Sub", 1)], "zero-one"),
        ([("Mul", 255), ("Sub", 127.5), ("Mul", 1 / 128)], "zero-one"),
        ([("Sub", IMAGENET[0]), ("Div", IMAGENET[1])], "zero-one"),
        ([("Add", 1), ("Mul", 127.5)], "unit"),
        ([("Mul", 0.5), ("Add", 0.5)], "unit"),
        ([("Mul", 2)], None),
    ],
)
def test_the_scaling_outside_follows_from_the_one_inside(steps: list[tuple[str, object]], pixels: str | None) -> None:
    assert read_evidence(graph(*steps), "x", "nchw").pixels == pixels


def test_the_means_tell_the_order_of_the_channels() -> None:
    means, deviations = IMAGENET
    rgb = read_evidence(graph(("Sub", means), ("Div", deviations)), "x", "nchw")
    bgr = read_evidence(graph(("Sub", means[::-1]), ("Div", deviations[::-1])), "x", "nchw")
    assert (rgb.channels, bgr.channels) == ("rgb", "bgr")
    assert read_evidence(graph(("Sub", 127.5), ("Div", 127.5)), "x", "nchw").channels is None


def test_values_that_are_no_means_of_photographs_tell_no_order() -> None:
    undone = graph(("Mul", [58.395, 57.12, 57.375]), ("Add", [123.675, 116.28, 103.53]), ("Sub", 127.5), ("Div", 127.5))
    assert read_evidence(undone, "x", "nchw").channels is None
    assert read_evidence(graph(("Sub", [1.0, 2.0, 3.0]), ("Div", 255)), "x", "nchw").channels is None


def test_an_open_shape_with_a_transposition_at_once_has_its_channels_last() -> None:
    evidence = read_evidence(graph(("Sub", 127.5), ("Div", 127.5), transposed=True), "x", None)
    assert evidence == InputEvidence("raw", None, "nhwc")
    assert read_evidence(graph(("Sub", 127.5)), "x", None).layout is None


@pytest.mark.parametrize(("names", "raw"), [("", True), ("_", False), ("/", False), ("node_", False)])
def test_insightfaces_rule_of_names(names: str, raw: bool) -> None:
    proto = graph(("Sub", 127.5), ("Mul", 1 / 127.5), names=names)
    assert takes_raw_by_names(proto) is raw
