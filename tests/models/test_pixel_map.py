from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import NodeProto, TensorProto, helper, numpy_helper

from facekd.models.pixel_map import PixelMap, follow_input

node = helper.make_node
INT_MIN = -(1 << 63)


def follow(nodes: Sequence[NodeProto], constants: dict[str, Any], axis: int = 1) -> PixelMap | None:
    """The last state of the input of a graph that ends in a convolution."""
    last = nodes[-1].output[0]
    graph = helper.make_graph(
        [*nodes, node("Conv", [last, "w"], ["y"])], "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, None)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()])
    states = list(follow_input(onnx.GraphProto.FromString(graph.SerializeToString()), "x", axis))
    return states[-1] if states else None


def test_arithmetic_is_composed_in_its_order() -> None:
    nodes = [node("Cast", ["x"], ["f"], to=1), node("Sub", ["f", "m"], ["a"]), node("Div", ["a", "s"], ["b"]),
             node("Mul", ["two", "b"], ["c"]), node("Add", ["c", "one"], ["d"]), node("Sub", ["one", "d"], ["e"])]
    mean, std = np.array([[[1.0]], [[2.0]], [[3.0]]], np.float32), np.float32(4)
    state = follow(nodes, {"m": mean, "s": std, "two": np.float32(2), "one": np.float32(1)})
    assert state is not None and state.name == "e"
    x = 10.0
    np.testing.assert_allclose(state.scale * x + state.offset, 1 - (2 * (x - mean.ravel()) / 4 + 1))


def test_constant_nodes_and_copies_of_them_are_read() -> None:
    nodes = [node("Constant", [], ["k"], value_float=0.5), node("Identity", ["k"], ["i"]),
             node("Mul", ["x", "i"], ["a"])]
    state = follow(nodes, {})
    assert state is not None and state.scale.tolist() == [0.5] * 3


def test_a_batch_norm_is_affine() -> None:
    gain, bias, mean, variance = (np.array(v, np.float32) for v in ([1, 2, 3], [4, 5, 6], [7, 8, 9], [4, 9, 16]))
    nodes = [node("BatchNormalization", ["x", "g", "b", "m", "v"], ["a"], epsilon=0.0)]
    state = follow(nodes, {"g": gain, "b": bias, "m": mean, "v": variance})
    assert state is not None
    np.testing.assert_allclose(state.scale * 2 + state.offset, (2 - mean) / np.sqrt(variance) * gain + bias)


EXCHANGES: dict[str, tuple[list[NodeProto], dict[str, Any]]] = {
    "gather": ([node("Gather", ["x", "i"], ["a"], axis=1)], {"i": [2, 1, 0]}),
    "negative axis": ([node("Gather", ["x", "i"], ["a"], axis=-3)], {"i": [-1, 1, 0]}),
    "flip": ([node("Slice", ["x", "s", "e", "a", "t"], ["b"])], {"s": [-1], "e": [INT_MIN], "a": [1], "t": [-1]}),
    "pieces": ([node("Slice", ["x", f"{i}", f"{i + 1}", "axis"], [f"c{i}"]) for i in range(3)]
               + [node("Concat", ["c2", "c1", "c0"], ["a"], axis=1)],
               {**{f"{i}": [i] for i in range(4)}, "axis": [1]}),
    "split": ([node("Split", ["x"], ["a", "b", "c"], axis=1, num_outputs=3),
               node("Concat", ["c", "b", "a"], ["d"], axis=1)], {}),
    "in front": ([node("Transpose", ["x"], ["a"], perm=[1, 0, 2, 3]), node("GatherND", ["a", "i"], ["b"]),
                  node("Transpose", ["b"], ["c"], perm=[1, 0, 2, 3])], {"i": [[2], [1], [0]]}),
}


@pytest.mark.parametrize("kind", EXCHANGES)
def test_exchanged_channels_are_followed(kind: str) -> None:
    nodes, constants = EXCHANGES[kind]
    state = follow(nodes, constants)
    assert state is not None and (state.order, state.axis) == ([2, 1, 0], 1)


def test_values_after_an_exchange_belong_to_the_channels_of_the_input() -> None:
    nodes = [node("Gather", ["x", "i"], ["a"], axis=1), node("Sub", ["a", "m"], ["b"])]
    state = follow(nodes, {"i": [2, 1, 0], "m": np.array([[[1.0]], [[2.0]], [[3.0]]], np.float32)})
    assert state is not None and (-state.offset).tolist() == [3, 2, 1]


def test_channels_that_are_last_are_followed_to_the_second_place() -> None:
    nodes = [node("Sub", ["x", "m"], ["a"]), node("Transpose", ["a"], ["b"], perm=[0, 3, 1, 2])]
    state = follow(nodes, {"m": np.array([1, 2, 3], np.float32)}, axis=3)
    assert state is not None and (state.axis, (-state.offset).tolist()) == (1, [1, 2, 3])


@pytest.mark.parametrize(
    ("nodes", "constants"),
    [
        ([node("Div", ["m", "x"], ["a"])], {"m": np.float32(1)}),  # not affine
        ([node("Sub", ["x", "m"], ["a"])], {"m": np.zeros((1, 1, 4, 4), np.float32)}),  # a mean image
        ([node("Sub", ["x", "x"], ["a"])], {}),
        ([node("Gather", ["x", "i"], ["a"], axis=2)], {"i": [2, 1, 0]}),
        ([node("Gather", ["x", "i"], ["a"], axis=1)], {"i": [0, 0, 0]}),
        ([node("Pad", ["x", "p"], ["a"])], {"p": [0] * 8}),
    ],
)
def test_other_nodes_end_the_way(nodes: list[NodeProto], constants: dict[str, Any]) -> None:
    assert follow(nodes, constants) is None
