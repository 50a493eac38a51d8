from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from facekd.api.embed import embed
from facekd.data.features.opening import open_features
from facekd.data.synthetic.dataset import render_crop
from facekd.errors import DataError, SetupError
from facekd.models.weights import load_model
from facekd.run import Run


@pytest.fixture
def crops(tmp_path: Path) -> tuple[Path, Path]:
    """Two aligned crops, lossless and at the network's size."""
    paths = tmp_path / "0.png", tmp_path / "1.png"
    for number, path in enumerate(paths):
        cv2.imwrite(str(path), cv2.cvtColor(render_crop(number, 0, 32), cv2.COLOR_RGB2BGR))
    return paths


def test_embed_writes_features_labels_and_names(fixtures: Path, run: Run, tmp_path: Path) -> None:
    out = tmp_path / "new" / "f.npy"
    assert embed(fixtures / "folder", out, run.path) == 32
    features, labels = np.load(out), np.load(out.with_suffix(".labels.npy"))
    assert (features.dtype, features.shape) == (np.float32, (32, 16))
    np.testing.assert_array_equal(labels, np.repeat(np.arange(8), 4))
    names = out.with_suffix(".names.txt").read_text().splitlines()
    assert names == [f"id_{person:05d}/{number:04d}.jpg" for person in range(8) for number in range(4)]


def test_embed_keeps_the_length_of_the_sum_of_image_and_mirror(
    run: Run, crops: tuple[Path, Path], tmp_path: Path
) -> None:
    (tmp_path / "lst").write_text("0.png\n1.png\n")
    embed(tmp_path, tmp_path / "f.npy", run.path, image_list=tmp_path / "lst")
    network = load_model(run.model)
    pixels = torch.from_numpy(np.stack([render_crop(n, 0, 32) for n in (0, 1)])).permute(0, 3, 1, 2).float()
    pixels = pixels.sub(127.5).div(127.5)
    with torch.no_grad():
        summed = (network(pixels) + network(pixels.flip(3))).numpy()
    np.testing.assert_allclose(np.load(tmp_path / "f.npy"), summed, rtol=1e-4, atol=1e-6)


def test_embed_of_a_record_equals_that_of_the_folder(fixtures: Path, run: Run, tmp_path: Path) -> None:
    for name in ("folder", "record"):
        embed(fixtures / name, tmp_path / f"{name}.npy", run.model)
    np.testing.assert_array_equal(np.load(tmp_path / "folder.npy"), np.load(tmp_path / "record.npy"))
    names = (tmp_path / "record.names.txt").read_text().splitlines()
    assert names == [f"id_{person:05d}/{1 + 4 * person + number}" for person in range(8) for number in range(4)]


def test_embed_without_flip_is_another_embedding(fixtures: Path, run: Run, tmp_path: Path) -> None:
    embed(fixtures / "folder", tmp_path / "a.npy", run.model)
    embed(fixtures / "folder", tmp_path / "b.npy", run.model, flip=False)
    with_flip, without = (open_features(tmp_path / f"{name}.npy").all_l2_normalized_rows() for name in ("a", "b"))
    assert np.abs(with_flip - without).max() > 1e-4


def test_embed_of_a_list_keeps_its_order(fixtures: Path, run: Run, tmp_path: Path) -> None:
    embed(fixtures / "folder", tmp_path / "all.npy", run.model)
    (tmp_path / "lst").write_text("id_00003/0001.jpg\nid_00000/0002.jpg\nid_00003/0000.jpg\n")
    assert embed(fixtures / "folder", tmp_path / "some.npy", run.model, image_list=tmp_path / "lst") == 3
    np.testing.assert_allclose(np.load(tmp_path / "some.npy"), np.load(tmp_path / "all.npy")[[13, 2, 12]], atol=1e-6)
    assert np.load(tmp_path / "some.labels.npy").tolist() == [0, 1, 0]


def test_embed_writes_the_kits_tree_as_well(fixtures: Path, run: Run, tmp_path: Path) -> None:
    embed(fixtures / "folder", tmp_path / "f.npy", run.model, megaface_tree=tmp_path / "tree", suffix="_m.bin")
    stored = np.load(tmp_path / "f.npy").astype(np.float64)
    assert len(list((tmp_path / "tree").rglob("*.*"))) == 32
    data = (tmp_path / "tree" / "id_00003" / "0001.jpg_m.bin").read_bytes()
    assert struct.unpack("<4i", data[:16]) == (16, 1, 4, 5)
    row = np.array(struct.unpack("<16f", data[16:]))
    np.testing.assert_allclose(row, stored[13] / np.linalg.norm(stored[13]), atol=1e-6)


def test_embed_refuses_a_name_that_is_no_npy(fixtures: Path, run: Run, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"f\.txt: a feature file ends in \.npy"):
        embed(fixtures / "folder", tmp_path / "f.txt", run.model)


@pytest.mark.parametrize("suffix", ["/../../x", "a/b.bin", ""])
def test_a_suffix_that_leads_out_of_the_tree_is_refused_before_the_work(
    fixtures: Path, run: Run, tmp_path: Path, suffix: str
) -> None:
    with pytest.raises(DataError, match="is no end of a file name"):
        embed(fixtures / "folder", tmp_path / "f.npy", run.model, megaface_tree=tmp_path / "tree", suffix=suffix)
    assert not (tmp_path / "f.npy").exists()


def test_a_file_in_place_of_the_tree_is_refused_before_the_work(fixtures: Path, run: Run, tmp_path: Path) -> None:
    (tmp_path / "tree").touch()
    with pytest.raises(SetupError, match="tree is no folder"):
        embed(fixtures / "folder", tmp_path / "f.npy", run.model, megaface_tree=tmp_path / "tree")
    assert not (tmp_path / "f.npy").exists()
