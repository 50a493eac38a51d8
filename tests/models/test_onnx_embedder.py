from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import insightface
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from facekd.errors import ModelError
from facekd.models.onnx_embedder import OnnxEmbedder

SIZE = 112
WEIGHT = np.random.default_rng(0).normal(size=(5, 3, SIZE // 4, SIZE // 4)).astype(np.float32)
Shape = Sequence[int | str | None]


def write_model(
    path: Path, shape: Shape = ("n", 3, SIZE, SIZE), before: Sequence[NodeProto] = (), flat: Sequence[int] = (0, -1),
    outputs: int = 1, kind: int = TensorProto.FLOAT, external: bool = False,
) -> Path:
    """Write a graph that averages blocks of 4x4 pixels and multiplies the averages by WEIGHT."""
    first = before[-1].output[0] if before else "x"
    nodes = [
        *before,
        helper.make_node("AveragePool", [first], ["pooled"], "pool", kernel_shape=[4, 4], strides=[4, 4]),
        helper.make_node("Conv", ["pooled", "w"], ["conv"], "conv"),
        *(helper.make_node("Reshape", ["conv", "flat"], [f"y{i}"], f"flat{i}") for i in range(outputs)),
    ]
    constants = {"w": WEIGHT, "flat": np.array(flat), "mean": np.float32(127.5), "scale": np.float32(1 / 127.5)}
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info(f"y{i}", TensorProto.FLOAT, None) for i in range(outputs)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.save(model, path, save_as_external_data=external, location="weights.bin", size_threshold=1024)
    return path


def scaling(*names: str) -> list[NodeProto]:
    return [
        helper.make_node("Sub", ["x", "mean"], ["centered"], names[0]),
        helper.make_node("Mul", ["centered", "scale"], ["scaled"], names[1]),
    ]


@pytest.fixture(scope="module")
def crops() -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (7, SIZE, SIZE, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def expected(crops: NDArray[np.uint8]) -> NDArray[np.float64]:
    pixels = (crops.astype(np.float64) - 127.5) / 127.5
    pooled = pixels.reshape(7, SIZE // 4, 4, SIZE // 4, 4, 3).mean(axis=(2, 4))
    return np.asarray(np.einsum("nhwc,dchw->nd", pooled, WEIGHT.astype(np.float64)))


def test_pixels_are_scaled_outside_by_default(
    tmp_path: Path, crops: NDArray[np.uint8], expected: NDArray[np.float64]
) -> None:
    embedder = OnnxEmbedder(write_model(tmp_path / "m.onnx"))
    assert (embedder.name, embedder.size, embedder.dimension) == ("m", SIZE, 5)
    np.testing.assert_allclose(embedder.forward(crops), expected, atol=1e-3)


@pytest.mark.parametrize("names", [("Sub_0", "Mul_1"), ("/Sub", "/Mul"), ("node_sub", "node_mul"), ("", "")])
def test_a_graph_that_scales_inside_gets_0_to_255_whatever_the_names(
    tmp_path: Path, crops: NDArray[np.uint8], expected: NDArray[np.float64], names: tuple[str, str]
) -> None:
    embedder = OnnxEmbedder(write_model(tmp_path / "m.onnx", before=scaling(*names)))
    np.testing.assert_allclose(embedder.forward(crops), expected, atol=1e-3)


@pytest.mark.parametrize("names", [("Sub_0", "Mul_1"), ("/Sub", "/Mul"), ("Sub_0", "node_mul")])
def test_a_note_tells_where_insightface_feeds_another_input(
    tmp_path: Path, crops: NDArray[np.uint8], names: tuple[str, str]
) -> None:
    path = write_model(tmp_path / "m.onnx", before=scaling(*names))
    client = insightface.model_zoo.get_model(str(path), providers=["CPUExecutionProvider"])
    theirs = client.get_feat([np.ascontiguousarray(crop[:, :, ::-1]) for crop in crops])
    embedder = OnnxEmbedder(path)
    agrees = np.allclose(embedder.forward(crops), theirs, atol=1e-3)
    assert agrees == (names[0] == "Sub_0" and names[1] == "Mul_1")
    assert (embedder.notes == ()) == agrees


@pytest.mark.parametrize("batch", [1, 3])
def test_a_fixed_batch_takes_any_number_of_crops(
    tmp_path: Path, crops: NDArray[np.uint8], expected: NDArray[np.float64], batch: int
) -> None:
    embedder = OnnxEmbedder(write_model(tmp_path / "m.onnx", shape=(batch, 3, SIZE, SIZE)))
    np.testing.assert_allclose(embedder.forward(crops), expected, atol=1e-3)


def test_a_batch_that_is_dynamic_in_name_only_runs_one_by_one(
    tmp_path: Path, crops: NDArray[np.uint8], expected: NDArray[np.float64]
) -> None:
    embedder = OnnxEmbedder(write_model(tmp_path / "m.onnx", shape=("None", 3, SIZE, SIZE), flat=(1, 5)))
    assert embedder.batch_size == 1
    np.testing.assert_allclose(embedder.forward(crops), expected, atol=1e-3)


def test_no_crops_give_no_embeddings(tmp_path: Path, crops: NDArray[np.uint8]) -> None:
    assert OnnxEmbedder(write_model(tmp_path / "m.onnx")).embed(crops[:0]).shape == (0, 5)


def test_an_open_size_must_be_given(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m.onnx", shape=("n", 3, "h", "w"))
    with pytest.raises(ModelError, match="size"):
        OnnxEmbedder(path)
    assert OnnxEmbedder(path, size=SIZE).size == SIZE


def test_another_size_than_the_graph_has_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="112x112 images, not 64x64"):
        OnnxEmbedder(write_model(tmp_path / "m.onnx"), size=64)


def test_weights_in_external_files_are_read_and_belong_to_the_fingerprint(
    tmp_path: Path, crops: NDArray[np.uint8], expected: NDArray[np.float64]
) -> None:
    path = write_model(tmp_path / "m.onnx", external=True)
    embedder = OnnxEmbedder(path)
    np.testing.assert_allclose(embedder.forward(crops), expected, atol=1e-3)
    data = bytearray((tmp_path / "weights.bin").read_bytes())
    data[3] ^= 1
    (tmp_path / "weights.bin").write_bytes(data)
    assert OnnxEmbedder(path).fingerprint != embedder.fingerprint


def test_absent_external_weights_are_named(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m.onnx", external=True)
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(ModelError, match=r"weights\.bin"):
        OnnxEmbedder(path)


@pytest.mark.parametrize("content", [b"", b"no graph at all", b"\x08\x0a"])
def test_a_file_that_is_no_onnx_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"m\.onnx (is not|cannot be read as) an ONNX file"):
        OnnxEmbedder(path)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_truncated_file_is_named(tmp_path: Path, share: float) -> None:
    path = write_model(tmp_path / "m.onnx")
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ModelError, match=r"m\.onnx"):
        OnnxEmbedder(path)


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"m\.onnx does not exist"):
        OnnxEmbedder(tmp_path / "m.onnx")


def test_a_custom_operator_is_refused(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m.onnx", before=[helper.make_node("Mine", ["x"], ["mine"], domain="my.own")])
    with pytest.raises(ModelError, match="cannot be read as a face model"):
        OnnxEmbedder(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shape": ("n", SIZE, SIZE, 3)}, "fails on an input"),
        ({"shape": ("n", 3, SIZE, SIZE + 16)}, "aligned crops are square"),
        ({"kind": TensorProto.DOUBLE}, "cannot be read as a face model|float32 input"),
    ],
)
def test_a_graph_that_is_no_face_model_is_refused(
    tmp_path: Path, changes: dict[str, Shape | int], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        OnnxEmbedder(write_model(tmp_path / "m.onnx", **changes))  # type: ignore[arg-type]


def test_a_wrong_rank_is_refused(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])], "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), tmp_path / "m.onnx")
    with pytest.raises(ModelError, match=r"\[batch, size, size, 3\] is needed"):
        OnnxEmbedder(tmp_path / "m.onnx")


def test_threads_reach_the_session(tmp_path: Path) -> None:
    embedder = OnnxEmbedder(write_model(tmp_path / "m.onnx"), threads=1)
    assert embedder.session.get_session_options().intra_op_num_threads == 1


def test_an_output_with_two_dimensions_is_the_embedding(tmp_path: Path, crops: NDArray[np.uint8]) -> None:
    path = write_model(tmp_path / "m.onnx", outputs=2)
    first, second = OnnxEmbedder(path), OnnxEmbedder(path, output="y1")
    np.testing.assert_array_equal(first.forward(crops), second.forward(crops))
    assert first.fingerprint != second.fingerprint


def test_rows_that_are_no_images_are_those_of_a_detector(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m.onnx", outputs=2, flat=(-1, 1))
    with pytest.raises(ModelError, match="gives 5 rows for 1 images in its output y0: is it a detector"):
        OnnxEmbedder(path)


def test_what_a_user_states_belongs_to_the_fingerprint(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m.onnx")
    told = OnnxEmbedder(path).fingerprint
    assert OnnxEmbedder(path, pixels="unit", channels="rgb").fingerprint == told
    others = [OnnxEmbedder(path, pixels="raw").fingerprint, OnnxEmbedder(path, channels="bgr").fingerprint]
    assert len({told, *others}) == 3


def test_the_other_ways_to_feed_a_model(tmp_path: Path, crops: NDArray[np.uint8]) -> None:
    path = write_model(tmp_path / "m.onnx")
    others = OnnxEmbedder(path).fed_otherwise()
    assert others.keys() == {"raw", "zero-one"}
    np.testing.assert_array_equal(others["raw"].forward(crops), OnnxEmbedder(path, pixels="raw").forward(crops))


@pytest.mark.parametrize(("kind", "dtype"), [(TensorProto.UINT8, "uint8"), (TensorProto.FLOAT16, "float16")])
def test_other_types_are_fed_in_their_type(
    tmp_path: Path, crops: NDArray[np.uint8], expected: NDArray[np.float64], kind: int, dtype: str
) -> None:
    before = [helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT), *scaling("", "")]
    before[1].input[0] = "f"
    embedder = OnnxEmbedder(write_model(tmp_path / "m.onnx", before=before, kind=kind))
    assert embedder.input_facts()["dtype"] == dtype
    np.testing.assert_allclose(embedder.forward(crops), expected, atol=1e-3)


def test_names_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m.onnx")
    path.write_bytes(path.read_bytes().replace(b"y0", b"\xff\xff"))
    with pytest.raises(ModelError, match=r"m\.onnx"):
        OnnxEmbedder(path)
