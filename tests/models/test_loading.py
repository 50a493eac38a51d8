from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from facekd.data.synthetic.dataset import render_crop
from facekd.errors import ModelError
from facekd.models.loading import load
from facekd.models.torch_embedder import TorchEmbedder
from facekd.models.weights import load_model


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
def test_a_folder_with_two_graphs_is_ambiguous_unless_one_is_quantized(tmp_path: Path, name: str) -> None:
    for graph in ("one.onnx", "other.onnx"):
        (tmp_path / graph).write_bytes(b"")
    with pytest.raises(ModelError, match=r"2 \.onnx files; name the file"):
        load(tmp_path)
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
