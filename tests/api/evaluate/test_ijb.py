from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from facekd.api.embed import embed
from facekd.api.evaluate.ijb import ijb
from facekd.data.features.opening import write_features
from facekd.data.transforms import decode_crop
from facekd.errors import DataError
from facekd.models.loading import load
from facekd.models.registry import create
from facekd.models.torch_embedder import TorchEmbedder
from facekd.models.weights import load_model, save_model
from facekd.run import Run


@pytest.fixture
def meta(tmp_path: Path) -> Path:
    """Ten identities, an enrolled template and a probe of two images each, in InsightFace's format."""
    folder = tmp_path / "meta"
    folder.mkdir()
    lines = [f"{image}.jpg {image // 2} {image}\n" for image in range(40)]
    (folder / "ijbb_face_tid_mid.txt").write_text("".join(lines))
    points = " ".join(["1.5"] * 10)
    (folder / "ijbb_name_5pts_score.txt").write_text("".join(f"{image}.jpg {points} 0.9\n" for image in range(40)))
    pairs = [f"{one} {10 + other} {int(one == other)}\n" for one in range(10) for other in range(10)]
    (folder / "ijbb_template_pair_label.txt").write_text("".join(pairs))
    return folder


@pytest.fixture
def features(tmp_path: Path) -> Path:
    """Features of these images, close to each other within an identity."""
    generator = np.random.default_rng(0)
    identities = np.tile(np.repeat(np.arange(10), 2), 2)
    rows = generator.normal(size=(10, 32))[identities] + 0.1 * generator.normal(size=(40, 32))
    path = tmp_path / "features.npy"
    write_features(path, rows.astype(np.float32))
    return path


def test_features_and_meta_files_give_a_result_file(features: Path, meta: Path, tmp_path: Path) -> None:
    result = ijb(features, meta, json=tmp_path / "out.json")
    assert result.verification is not None and result.verification.tar["1e-1"] == 1.0
    content = json.loads((tmp_path / "out.json").read_text())
    assert (content["kind"], content["name"], content["use_detector_score"]) == ("ijb", "meta", True)
    assert content["verification"]["genuine"] == 10


@pytest.fixture
def crops(fixtures: Path, tmp_path: Path) -> Path:
    """The fixture's crops under the names of the protocol's images."""
    folder = tmp_path / "crops"
    folder.mkdir()
    for image in range(40):
        shutil.copy(fixtures / "folder" / f"id_{image // 2 % 8:05d}" / f"000{image % 2}.jpg", folder / f"{image}.jpg")
    (tmp_path / "names.txt").write_text("".join(f"{image}.jpg\n" for image in range(40)))
    return folder


def test_stored_embeddings_are_pooled_with_the_norms_of_the_model(
    run: Run, crops: Path, meta: Path, tmp_path: Path
) -> None:
    out = tmp_path / "ijbb.npy"
    embed(crops, out, run.path, image_list=tmp_path / "names.txt", device="cpu")
    result = ijb(out, meta, model=run.path)
    assert not [note for note in result.notes if "length" in note]
    assert result.verification is not None
    images = [decode_crop((crops / f"{image}.jpg").read_bytes(), 32, "") for image in range(40)]
    rows = TorchEmbedder(load_model(run.model)).embed(np.stack(images), normalize=False).astype(np.float64) * 0.9
    templates = rows.reshape(20, 2, -1).sum(axis=1)
    normalized = templates / np.linalg.norm(templates, axis=1, keepdims=True)
    impostors = [normalized[i] @ normalized[10 + j] for i in range(10) for j in range(10) if i != j]
    assert result.verification.thresholds["1e-1"] == pytest.approx(sorted(impostors)[-10], abs=1e-5)


def test_a_run_keeps_the_result_of_its_features(run: Run, crops: Path, meta: Path, tmp_path: Path) -> None:
    out = tmp_path / "ijbb.npy"
    embed(crops, out, run.path, image_list=tmp_path / "names.txt", device="cpu")
    ijb(out, meta, model=run.path, json=tmp_path / "out.json")
    content = json.loads((run.results / "ijb-meta.json").read_text())
    assert content == json.loads((tmp_path / "out.json").read_text())
    assert (content["model"], content["model_sha256"]) == (str(run.path), load(run.path).fingerprint)


def test_features_of_another_model_are_not_kept_in_a_run(run: Run, features: Path, meta: Path) -> None:
    with pytest.raises(DataError, match=r"no NAME\.json .* beside .*features\.npy records which"):
        ijb(features, meta, model=run.path)
    assert not run.results.exists()


def test_features_of_another_model_are_refused_with_both_names(
    run: Run, crops: Path, meta: Path, tmp_path: Path
) -> None:
    out = tmp_path / "ijbb.npy"
    embed(crops, out, run.path, image_list=tmp_path / "names.txt", device="cpu")
    torch.manual_seed(1)
    save_model(create("mobilenetv2", size=32, outputs=16, expansion=2, width=0.25), tmp_path / "other.safetensors")
    with pytest.raises(DataError, match=r"ijbb\.npy is of the model run \(\w{8}\), not of other \(\w{8}\); embed"):
        ijb(out, meta, model=tmp_path / "other.safetensors")


def test_the_result_says_which_model_made_the_features(
    run: Run, crops: Path, features: Path, meta: Path, tmp_path: Path
) -> None:
    out = tmp_path / "ijbb.npy"
    embed(crops, out, run.path, image_list=tmp_path / "names.txt", device="cpu")
    for path, model in ((features, None), (out, {"name": "run", "sha256": load(run.path).fingerprint})):
        ijb(path, meta, json=tmp_path / "out.json")
        assert json.loads((tmp_path / "out.json").read_text())["features_model"] == model


def test_images_that_were_not_embedded_are_named(features: Path, meta: Path) -> None:
    features.with_suffix(".names.txt").write_text("".join(f"{image + 1}.jpg\n" for image in range(40)))
    with pytest.raises(DataError, match=r"lacks 1 images .*: 0\.jpg"):
        ijb(features, meta)
