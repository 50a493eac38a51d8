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

from facekd.errors import ExportError
from facekd.models.inputs import to_input
from facekd.models.onnx_embedder import OnnxEmbedder
from facekd.models.registry import Network, create
from facekd.packaging import onnx as export
from facekd.packaging.onnx import OnnxExport, export_onnx, routing_notes


@pytest.mark.parametrize("batch", [1, 2, 7, 20])
def test_the_file_answers_as_the_network_at_any_batch(tiny: Network, exported: OnnxExport, batch: int) -> None:
    pixels = torch.rand(batch, 3, 112, 112) * 2 - 1
    session = onnxruntime.InferenceSession(str(exported.path))
    (found,) = session.run(["embedding"], {"input": pixels.numpy()})
    with torch.no_grad():
        expected = tiny(pixels).numpy()
    assert found.shape == (batch, 8)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_parity_is_reported_for_each_batch_and_for_the_crops(exported: OnnxExport) -> None:
    assert set(exported.parity.noise) == {1, 2, 7}
    assert exported.parity.crops is not None
    assert exported.parity.worst < 1e-5


def test_insightface_gives_the_same_embedding(exported: OnnxExport, crops: NDArray[np.uint8]) -> None:
    client = insightface.model_zoo.get_model(str(exported.path), providers=["CPUExecutionProvider"])
    theirs = client.get_feat([np.ascontiguousarray(crop[:, :, ::-1]) for crop in crops])  # it takes BGR
    ours = OnnxEmbedder(exported.path).forward(crops)
    similar = (theirs * ours).sum(1) / np.linalg.norm(theirs, axis=1) / np.linalg.norm(ours, axis=1)
    assert similar.min() > 1 - 1e-5


def test_the_network_is_left_as_it_was(
    make_tiny: Callable[[int], Network], tiny: Network, exported: OnnxExport
) -> None:
    fresh = make_tiny(112)
    assert exported.path.exists()
    assert [type(m) for m in tiny.modules()] == [type(m) for m in fresh.modules()]
    assert all(torch.equal(a, b) for a, b in zip(tiny.state_dict().values(), fresh.state_dict().values(), strict=True))


def test_the_file_says_how_to_feed_it_and_names_no_file_of_this_machine(exported: OnnxExport) -> None:
    told = {entry.key: entry.value for entry in onnx.load(str(exported.path)).metadata_props}
    assert "127.5" in told["preprocessing"] and '"tiny"' in told["spec"]
    assert b".py" not in exported.path.read_bytes()


def test_export_is_silent(
    make_tiny: Callable[[int], Network], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    export_onnx(make_tiny(32), tmp_path / "m.onnx")
    assert capfd.readouterr() == ("", "")


def test_denormal_weights_become_zero(make_tiny: Callable[[int], Network], tmp_path: Path) -> None:
    model = make_tiny(32)
    with torch.no_grad():
        layer = model.get_submodule("layers.8")
        assert isinstance(layer, nn.Linear)
        layer.weight[0, :5] = 1e-40
    path = export_onnx(model, tmp_path / "m.onnx").path
    weights = [numpy_helper.to_array(t) for t in onnx.load(str(path)).graph.initializer]
    small = [w for w in weights if w.dtype == np.float32 and ((w != 0) & (np.abs(w) < 1.2e-38)).any()]
    assert not small


def test_a_file_of_other_weights_is_refused_and_not_left(
    make_tiny: Callable[[int], Network], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def perturbed(model: Network) -> Network:
        with torch.no_grad():
            next(model.parameters()).mul_(1.01)
        return model

    monkeypatch.setattr(export, "without_prelu", perturbed)
    with pytest.raises(ExportError, match="differ from the network's"):
        export_onnx(make_tiny(32), tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_network_that_answers_nan_is_refused(make_tiny: Callable[[int], Network], tmp_path: Path) -> None:
    model = make_tiny(32)
    with torch.no_grad():
        next(model.parameters()).fill_(float("nan"))
    with pytest.raises(ExportError, match="differ from the network's"):
        export_onnx(model, tmp_path / "m.onnx")


@pytest.mark.parametrize(("rename", "message"), [("batch", "dynamic batch is needed"), ("nodes", "0..255")])
def test_a_graph_that_misleads_its_users_is_refused(
    exported: OnnxExport, tiny: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rename: str, message: str
) -> None:
    proto = onnx.load(str(exported.path))
    if rename == "batch":
        proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    else:
        proto.graph.node[0].name, proto.graph.node[1].name = "Sub_0", "Mul_1"
    monkeypatch.setattr(export, "_trace", lambda model, size: proto)
    with pytest.raises(ExportError, match=message):
        export_onnx(tiny, tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


def test_crops_of_another_size_are_refused(tiny: Network, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="112"):
        export_onnx(tiny, tmp_path / "m.onnx", crops=np.zeros((2, 64, 64, 3), np.uint8))


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
    assert isinstance(client, ArcFaceONNX) == (routing_notes(size) == [])


def test_inputs_are_scaled_as_insightface_scales_them() -> None:
    pixels = torch.arange(192, dtype=torch.uint8).reshape(1, 8, 8, 3)
    expected = (pixels.numpy().astype(np.float64) - 127.5) / 127.5
    np.testing.assert_allclose(to_input(pixels).numpy().transpose(0, 2, 3, 1), expected, atol=1e-7)


def test_pixels_scaled_otherwise_are_refused(tmp_path: Path) -> None:
    model = create("mobilenetv2", size=32, outputs=8, pixels="cifar100")
    with pytest.raises(ExportError, match="pixels scaled as 'cifar100'"):
        export_onnx(model, tmp_path / "m.onnx")
