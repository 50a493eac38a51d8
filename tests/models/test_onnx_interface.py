from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from facekd.errors import ModelError
from facekd.models.onnx_embedder import OnnxEmbedder
from facekd.models.onnx_interface import METADATA_KEY, store_options

WEIGHT = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)


def write(path: Path, shape: Sequence[object] = ("n", 3, 32, 32), steps: Sequence[tuple[str, float]] = (),
          kind: int = TensorProto.FLOAT, outputs: Sequence[str] = ("y",), swapped: bool = False) -> Path:
    """The mean color after some arithmetic, times WEIGHT; outputs beyond the first have three dimensions."""
    nodes, weights, value = [], [numpy_helper.from_array(WEIGHT, "w")], "x"
    if swapped:
        weights.append(numpy_helper.from_array(np.array([2, 1, 0]), "order"))
        nodes.append(helper.make_node("Gather", ["x", "order"], ["swapped"], axis=1))
        value = "swapped"
    if kind != TensorProto.FLOAT:
        nodes.append(helper.make_node("Cast", [value], ["f"], to=TensorProto.FLOAT))
        value = "f"
    for number, (operator, constant) in enumerate(steps):
        weights.append(numpy_helper.from_array(np.float32(constant), f"c{number}"))
        nodes.append(helper.make_node(operator, [value, f"c{number}"], [f"v{number}"]))
        value = f"v{number}"
    if shape[-1] == 3:
        nodes.append(helper.make_node("Transpose", [value], ["first"], perm=[0, 3, 1, 2]))
        value = "first"
    nodes += [helper.make_node("GlobalAveragePool", [value], ["pooled"]), helper.make_node("Flatten", ["pooled"],
              ["m"]), helper.make_node("MatMul", ["m", "w"], [outputs[-1]])]
    axes = numpy_helper.from_array(np.array([0]), "axes")
    nodes += [helper.make_node("Unsqueeze", [outputs[-1], "axes"], [name]) for name in outputs[:-1]]
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("x", kind, shape)],
                              [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
                              [*weights, axes])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    return path


def facts(path: Path, **options: object) -> dict[str, object]:
    return OnnxEmbedder(path, **options).input_facts()  # type: ignore[arg-type]


def test_options_come_before_the_file_and_the_graph(tmp_path: Path) -> None:
    path = write(tmp_path / "m.onnx", steps=[("Sub", 127.5), ("Div", 127.5)])
    assert (facts(path)["pixels"], facts(path)["source"]) == ("raw", "graph")
    model = onnx.load(path)
    store_options(model, {"pixels": "zero-one", "channels": "bgr", "size": None})
    onnx.save(model, path)
    assert (facts(path)["pixels"], facts(path)["channels"], facts(path)["source"]) == ("zero-one", "bgr", "file")
    stated = facts(path, pixels="unit")
    assert (stated["pixels"], stated["channels"], stated["source"]) == ("unit", "bgr", "option")


def test_without_evidence_insightfaces_convention_counts(tmp_path: Path) -> None:
    assert facts(write(tmp_path / "m.onnx")) == {"pixels": "unit", "channels": "rgb", "layout": "nchw",
                                                 "dtype": "float32", "source": "convention", "output": "y"}


def test_a_statement_against_the_graph_is_noted(tmp_path: Path) -> None:
    path = write(tmp_path / "m.onnx", steps=[("Sub", 127.5), ("Div", 127.5)])
    (note,) = OnnxEmbedder(path, pixels="unit").notes
    assert "seems made for --pixels raw, and is fed --pixels unit as stated" in note


def test_exchanged_channels_mean_bgr_unless_stated(tmp_path: Path) -> None:
    path = write(tmp_path / "m.onnx", swapped=True)
    embedder = OnnxEmbedder(path)
    assert embedder.input_format.channels == "bgr" and "give --channels rgb" in embedder.notes[0]
    stated = OnnxEmbedder(path, channels="rgb")
    assert stated.input_format.channels == "rgb" and stated.notes == ()


def test_the_layout_follows_from_the_shape(tmp_path: Path) -> None:
    embedder = OnnxEmbedder(write(tmp_path / "m.onnx", shape=("n", 32, 32, 3)))
    assert (embedder.input_format.layout, embedder.size) == ("nhwc", 32)


def test_uint8_is_not_scaled(tmp_path: Path) -> None:
    path = write(tmp_path / "m.onnx", kind=TensorProto.UINT8, steps=[("Sub", 127.5), ("Div", 127.5)])
    assert facts(path)["pixels"] == "raw"
    with pytest.raises(ModelError, match="takes uint8, which is 0 to 255; leave --pixels unit out"):
        OnnxEmbedder(path, pixels="unit")


def test_an_open_size_belongs_to_the_fingerprint(tmp_path: Path) -> None:
    path = write(tmp_path / "m.onnx", shape=("n", 3, "h", "w"))
    with pytest.raises(ModelError, match="leaves the image size open; give it by --size"):
        OnnxEmbedder(path)
    assert OnnxEmbedder(path, size=32).fingerprint != OnnxEmbedder(path, size=64).fingerprint


def test_outputs_are_chosen_by_their_dimensions_or_their_name(tmp_path: Path) -> None:
    path = write(tmp_path / "m.onnx", outputs=["maps", "y"])
    assert facts(path)["output"] == "y"
    with pytest.raises(ModelError, match="has no output z; it has maps, y"):
        OnnxEmbedder(path, output="z")
    assert facts(path, output="maps")["output"] == "maps"


@pytest.mark.parametrize("value", ["[]", "{", '{"pixels": "row"}', '{"other": 1}', '{"size": -1}'])
def test_a_damaged_statement_in_a_file_is_refused(tmp_path: Path, value: str) -> None:
    path = write(tmp_path / "m.onnx")
    model = onnx.load(path)
    model.metadata_props.add(key=METADATA_KEY, value=value)
    onnx.save(model, path)
    with pytest.raises(ModelError):
        OnnxEmbedder(path)


def test_a_graph_of_two_inputs_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "m.onnx", steps=[("Sub", 1.0)])
    model = onnx.load(path)
    model.graph.input.append(helper.make_tensor_value_info("c0", TensorProto.FLOAT, []))
    kept = [tensor for tensor in model.graph.initializer if tensor.name != "c0"]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    onnx.save(model, path)
    with pytest.raises(ModelError, match="has 2 inputs, a face model has one"):
        OnnxEmbedder(path)


@pytest.mark.parametrize("shape", [(536_870_911, 3, 32, 32), (1, 3, 100_000, 100_000)])
def test_an_input_that_fills_the_memory_is_refused(tmp_path: Path, shape: Sequence[object]) -> None:
    with pytest.raises(ModelError, match=r"a\.onnx takes [\d,]+ images of \d+x\d+ pixels at once"):
        OnnxEmbedder(write(tmp_path / "a.onnx", shape))
