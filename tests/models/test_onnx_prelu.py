from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from facekd.models import onnx_prelu
from facekd.models.onnx_embedder import OnnxEmbedder
from facekd.models.onnx_prelu import open_split_form, split_prelu

SIZE = 16
SLOPES = np.array([-0.5, 0.25, 1.0, 2.5], np.float32).reshape(4, 1, 1)
WEIGHT = np.random.default_rng(0).normal(size=(4, 3, SIZE // 2, SIZE // 2)).astype(np.float32)
NORMAL = [helper.make_node("Conv", ["x", "w"], ["c"], strides=[8, 8]), helper.make_node("PRelu", ["c", "a"], ["p"])]


def write_prelu(path: Path, nodes: list[NodeProto] = NORMAL, kind: int = TensorProto.FLOAT, size: int = SIZE) -> Path:
    """Write a convolution of 2x2 blocks, a PReLU with SLOPES, and a flattening."""
    slopes = SLOPES.astype(helper.tensor_dtype_to_np_dtype(kind))
    graph = helper.make_graph(
        [*nodes, helper.make_node("Flatten", ["p"], ["y"])], "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, size, size])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", size**2 // 16])],
        [numpy_helper.from_array(WEIGHT, "w"), numpy_helper.from_array(slopes, "a")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), str(path))
    return path


@pytest.fixture(scope="module")
def crops() -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (5, SIZE, SIZE, 3), dtype=np.uint8)


def operators(session: ort.InferenceSession | onnx.ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in session.graph.node)


def test_the_fast_form_equals_the_formula(tmp_path: Path, crops: NDArray[np.uint8]) -> None:
    session = open_split_form(onnx.load(write_prelu(tmp_path / "m.onnx")), 1)
    assert session is not None
    pixels = (crops.transpose(0, 3, 1, 2).astype(np.float64) - 127.5) / 127.5
    blocks = pixels.reshape(5, 3, 2, 8, 2, 8)
    x = np.einsum("nchiwj,dcij->ndhw", blocks, WEIGHT.astype(np.float64))
    expected = np.where(x < 0, SLOPES.astype(np.float64) * x, x).reshape(5, 16)
    np.testing.assert_allclose(session.run(None, {"x": pixels.astype(np.float32)})[0], expected, rtol=1e-4, atol=1e-4)


def test_slopes_of_a_constant_node_are_replaced_as_well(tmp_path: Path) -> None:
    constant = helper.make_node("Constant", [], ["b"], value=numpy_helper.from_array(SLOPES))
    again = [helper.make_node("PRelu", ["c", "b"], ["d"]), helper.make_node("PRelu", ["d", "b"], ["p"])]
    model = onnx.load(write_prelu(tmp_path / "m.onnx", [constant, NORMAL[0], *again]))
    assert split_prelu(model) == 2
    assert "PRelu" not in operators(model)
    onnx.checker.check_model(model)


@pytest.mark.parametrize("nodes", [
    [NORMAL[0], helper.make_node("Abs", ["a"], ["b"]), helper.make_node("PRelu", ["c", "b"], ["p"])],
    [NORMAL[0], helper.make_node("DynamicQuantizeLinear", ["c"], ["q", "s", "z"]),
     helper.make_node("DequantizeLinear", ["q", "s", "z"], ["f"]), helper.make_node("PRelu", ["f", "a"], ["p"])],
    [NORMAL[0], helper.make_node("Relu", ["c"], ["p"])],
])
def test_computed_slopes_and_quantized_graphs_stay(tmp_path: Path, nodes: list[NodeProto]) -> None:
    model = onnx.load(write_prelu(tmp_path / "m.onnx", nodes))
    before = operators(model)
    assert split_prelu(model) == 0
    assert operators(model) == before


def test_other_types_stay(tmp_path: Path) -> None:
    cast = [helper.make_node("Cast", ["c"], ["h"], to=TensorProto.FLOAT16),
            helper.make_node("PRelu", ["h", "a"], ["i"]),
            helper.make_node("Cast", ["i"], ["p"], to=TensorProto.FLOAT)]
    path = write_prelu(tmp_path / "m.onnx", [NORMAL[0], *cast], TensorProto.FLOAT16)
    assert split_prelu(onnx.load(path)) == 0


def test_a_larger_model_is_not_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_prelu, "MAX_BYTES", 100)
    assert open_split_form(onnx.load(write_prelu(tmp_path / "m.onnx")), 1) is None


def test_an_embedder_runs_the_fast_form_and_keeps_the_files_fingerprint(
    tmp_path: Path, crops: NDArray[np.uint8]
) -> None:
    path = write_prelu(tmp_path / "m.onnx")
    plain, fast = OnnxEmbedder(path, as_written=True), OnnxEmbedder(path)
    own = plain.session, fast.session
    np.testing.assert_allclose(fast.forward(crops), plain.forward(crops), rtol=1e-4, atol=1e-5)
    assert (plain.session is own[0], fast.session is own[1]) == (True, False)
    assert fast.fingerprint == plain.fingerprint


@pytest.mark.parametrize("batch", [2, 20])
def test_a_form_that_differs_on_the_first_crops_is_dropped(
    tmp_path: Path, crops: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    embedder = OnnxEmbedder(write_prelu(tmp_path / "m.onnx"), batch_size=batch)
    own = embedder.session
    other = [helper.make_node("PRelu", ["c", "a"], ["d"]), helper.make_node("Sin", ["d"], ["p"])]
    embedder._fast = ort.InferenceSession(str(write_prelu(tmp_path / "other.onnx", [NORMAL[0], *other])))
    expected = OnnxEmbedder(embedder.path, as_written=True).forward(crops)
    np.testing.assert_allclose(embedder.forward(crops), expected, rtol=1e-5, atol=1e-6)
    assert embedder.session is own


def test_a_form_that_differs_on_noise_is_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = write_prelu(tmp_path / "other.onnx", [NORMAL[0], helper.make_node("Relu", ["c"], ["p"])])
    monkeypatch.setattr("facekd.models.onnx_embedder.open_split_form", lambda *_: ort.InferenceSession(str(other)))
    assert OnnxEmbedder(write_prelu(tmp_path / "m.onnx"))._fast is None


def test_the_given_teacher_has_a_fast_form(shared: Path) -> None:
    path = shared / "faces" / "teacher" / "mobilefacenet_128d.onnx"
    model = onnx.load(path)
    assert operators(model)["PRelu"] == split_prelu(model) == 33
    assert OnnxEmbedder(path)._fast is not None
