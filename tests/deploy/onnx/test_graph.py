from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import insightface
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from insightface.model_zoo.arcface_onnx import ArcFaceONNX
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from facekd.deploy.onnx.graph import export_graph, insightface_notes
from facekd.deploy.source import ExportFormat, prepare_source
from facekd.deploy.targets import onnx as target
from facekd.deploy.targets.onnx import OnnxTarget
from facekd.deploy.validation_gate import summarize_cosines
from facekd.errors import ExportError
from facekd.models.onnx_embedder import OnnxEmbedder
from facekd.models.registry import Network


@pytest.mark.parametrize("batch", [1, 2, 7, 20])
def test_the_file_gives_the_embeddings_of_the_network_at_any_batch(
    tiny_network: Network, float_file: Path, batch: int
) -> None:
    pixels = torch.rand(batch, 3, 112, 112) * 2 - 1
    session = onnxruntime.InferenceSession(str(float_file))
    (embeddings,) = session.run(["embedding"], {"input": pixels.numpy()})
    with torch.no_grad():
        expected = tiny_network(pixels).numpy()
    assert embeddings.shape == (batch, 8)
    np.testing.assert_allclose(embeddings, expected, atol=1e-5)


def test_insightface_gives_the_same_embeddings(float_file: Path, crops: NDArray[np.uint8]) -> None:
    client = insightface.model_zoo.get_model(str(float_file), providers=["CPUExecutionProvider"])
    theirs = client.get_feat([np.ascontiguousarray(crop[:, :, ::-1]) for crop in crops])  # it takes BGR
    assert summarize_cosines(theirs, OnnxEmbedder(float_file).forward(crops)).minimum > 1 - 1e-5


def test_the_file_describes_its_model_and_preprocessing(float_file: Path) -> None:
    properties = {entry.key: entry.value for entry in onnx.load(str(float_file)).metadata_props}
    assert "127.5" in properties["preprocessing"] and '"tiny"' in properties["spec"]


def test_denormals_created_by_folding_become_zero(make_tiny_network: Callable[[int], Network]) -> None:
    model = make_tiny_network(32)
    with torch.no_grad():
        layer, norm = model.get_submodule("layers.0"), model.get_submodule("layers.1")
        assert isinstance(layer, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
        layer.weight[0, 0] = 1e-37  # no denormals yet: the batch norm's gain of 0.01 makes them
        norm.weight[0] = 0.01
    proto = export_graph(prepare_source(model, ExportFormat(), "m"))
    weights = [numpy_helper.to_array(tensor) for tensor in proto.graph.initializer]
    assert not [w for w in weights if w.dtype == np.float32 and ((w != 0) & (np.abs(w) < 1.17e-38)).any()]


@pytest.mark.parametrize(("misled", "message"), [("batch", "dynamic batch is needed"), ("nodes", "rename them")])
def test_a_graph_that_misleads_its_users_is_refused(
    float_file: Path, tiny_network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, misled: str, message: str
) -> None:
    proto = onnx.load(str(float_file))
    if misled == "batch":
        proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    else:
        proto.graph.node[0].name, proto.graph.node[1].name = "Sub_0", "Mul_1"
    monkeypatch.setattr(target, "export_graph", lambda source: proto)
    with pytest.raises(ExportError, match=message):
        OnnxTarget().convert(prepare_source(tiny_network, ExportFormat(), "m"), "fp32", tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", [64, 96, 112, 120, 128, 192, 224])
def test_notes_agree_with_where_insightface_routes_a_size(size: int, tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("GlobalAveragePool", ["x"], ["y"])], "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, size, size])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3, 1, 1])],
    )
    path = tmp_path / "m.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    client = insightface.model_zoo.get_model(str(path), providers=["CPUExecutionProvider"])
    assert isinstance(client, ArcFaceONNX) == (insightface_notes(size) == [])
