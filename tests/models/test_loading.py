from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from facekd.data.synthetic.dataset import render_crop
from facekd.errors import ModelError, SetupError
from facekd.models.loading import load
from facekd.models.torch_embedder import TorchEmbedder
from facekd.models.weights import load_model
from tests.io.test_insightface_pack import write_graph
from tests.models.test_onnx_prelu import write_prelu


def test_a_run_a_file_and_a_route_point_can_be_loaded(teacher_run: Path) -> None:
    crops = np.stack([render_crop(1, view, 32) for view in range(3)])
    truth = TorchEmbedder(load_model(teacher_run / "model.safetensors")).embed(crops)
    last = sorted((teacher_run / "route").glob("*.safetensors"))[-1]
    for path in (teacher_run, teacher_run / "model.safetensors", last, str(teacher_run)):
        np.testing.assert_array_equal(load(path).embed(crops), truth)


def test_embeddings_are_the_networks_own_over_both_views(teacher_run: Path) -> None:
    crops = np.stack([render_crop(1, view, 32) for view in range(3)])
    network = load_model(teacher_run / "model.safetensors").double()
    views = [torch.from_numpy(c.copy()).permute(0, 3, 1, 2).double() / 127.5 - 1 for c in (crops, crops[:, :, ::-1])]
    with torch.no_grad():
        total = sum(network(view) for view in views)
    assert isinstance(total, torch.Tensor)
    truth = (total / total.norm(dim=1, keepdim=True)).numpy()
    np.testing.assert_allclose(load(teacher_run)(crops), truth, atol=1e-5)


def test_an_unfinished_run_says_so(teacher_run: Path, tmp_path: Path) -> None:
    shutil.copy(teacher_run / "run.json", tmp_path)
    with pytest.raises(ModelError, match="not finished"):
        load(tmp_path)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="holds no model"):
        load(tmp_path)


@pytest.mark.parametrize("name", ["one.fp16.onnx", "one.int8.onnx"])
def test_a_folder_with_two_recognizers_is_ambiguous_unless_one_is_quantized(tmp_path: Path, name: str) -> None:
    for graph in ("one.onnx", "other.onnx"):
        write_graph(tmp_path / graph, ["n", 3, 112, 112], ["n", 8])
    with pytest.raises(ModelError, match=r"2 recognizers \(one\.onnx, other\.onnx\); name the file"):
        load(tmp_path)
    (tmp_path / "one.onnx").write_bytes(b"")
    (tmp_path / "other.onnx").rename(tmp_path / name)
    with pytest.raises(ModelError, match=r"one\.onnx"):  # it is chosen, but empty
        load(tmp_path)


@pytest.mark.parametrize("name", ["model.safetensors", "model.pt"])
def test_a_missing_file_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=f"{name} does not exist"):
        load(tmp_path / name)


def test_a_pickle_is_no_model(tmp_path: Path) -> None:
    torch.save({}, tmp_path / "model.pt")
    with pytest.raises(ModelError, match="is no model"):
        load(tmp_path / "model.pt")


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_an_onnx_file_runs_where_it_is_told_or_says_why_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    path = write_prelu(tmp_path / "m.onnx")
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    assert load(path, "auto").dimension == load(path).dimension
    with pytest.raises(SetupError, match=f"ONNX Runtime .* does not run on {device}"):
        load(path, device)


def test_a_model_pack_gives_its_recognizer(tmp_path: Path, write_scrfd: Callable[..., Path]) -> None:
    write_scrfd(tmp_path / "det.onnx")
    write_graph(tmp_path / "genderage.onnx", ["n", 3, 96, 96], [1, 3])
    recognizer = write_prelu(tmp_path / "recognizer.onnx", size=112)
    assert load(tmp_path).fingerprint == load(recognizer).fingerprint
