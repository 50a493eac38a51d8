"""``embed`` and ``compare``: what a newcomer tries first."""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from facekd.api import embed as module
from facekd.api.embed import compare, embed
from facekd.api.prepare import DETECTOR_VARIABLE
from facekd.data.alignment.detector import Detector, Face, Image
from facekd.data.alignment.landmarks import warp
from facekd.data.features.opening import open_features
from facekd.data.synthetic.dataset import render
from facekd.data.transforms import decode
from facekd.errors import DataError, SetupError
from facekd.models.weights import load_model
from facekd.run import Run
from facekd.utils import files


@pytest.fixture
def crops(tmp_path: Path) -> tuple[Path, Path]:
    """Two aligned crops, lossless and at the network's size."""
    paths = tmp_path / "0.png", tmp_path / "1.png"
    for number, path in enumerate(paths):
        cv2.imwrite(str(path), cv2.cvtColor(render(number, 0, 32), cv2.COLOR_RGB2BGR))
    return paths


def features_of(model: Path, images: list[Image]) -> NDArray[np.float64]:
    """Image plus mirror by torch alone, float64 unit rows."""
    network = load_model(model)
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float().sub(127.5).div(127.5)
    with torch.no_grad():
        summed = (network(pixels) + network(pixels.flip(3))).double().numpy()
    unit: NDArray[np.float64] = summed / np.linalg.norm(summed, axis=1, keepdims=True)
    return unit


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
    embed(tmp_path, tmp_path / "f.npy", run.path, listed=tmp_path / "lst")
    network = load_model(run.model)
    pixels = torch.from_numpy(np.stack([render(n, 0, 32) for n in (0, 1)])).permute(0, 3, 1, 2).float()
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
    both, alone = (open_features(tmp_path / f"{name}.npy").all() for name in ("a", "b"))
    assert np.abs(both - alone).max() > 1e-4


def test_embed_of_a_list_keeps_its_order(fixtures: Path, run: Run, tmp_path: Path) -> None:
    embed(fixtures / "folder", tmp_path / "all.npy", run.model)
    (tmp_path / "lst").write_text("id_00003/0001.jpg\nid_00000/0002.jpg\nid_00003/0000.jpg\n")
    assert embed(fixtures / "folder", tmp_path / "some.npy", run.model, listed=tmp_path / "lst") == 3
    np.testing.assert_allclose(np.load(tmp_path / "some.npy"), np.load(tmp_path / "all.npy")[[13, 2, 12]], atol=1e-6)
    assert np.load(tmp_path / "some.labels.npy").tolist() == [0, 1, 0]


def test_embed_writes_the_kits_tree_as_well(fixtures: Path, run: Run, tmp_path: Path) -> None:
    embed(fixtures / "folder", tmp_path / "f.npy", run.model, kit=tmp_path / "tree", ending="_m.bin")
    stored = np.load(tmp_path / "f.npy").astype(np.float64)
    assert len(list((tmp_path / "tree").rglob("*.*"))) == 32
    data = (tmp_path / "tree" / "id_00003" / "0001.jpg_m.bin").read_bytes()
    assert struct.unpack("<4i", data[:16]) == (16, 1, 4, 5)
    row = np.array(struct.unpack("<16f", data[16:]))
    np.testing.assert_allclose(row, stored[13] / np.linalg.norm(stored[13]), atol=1e-6)


def test_embed_refuses_a_name_that_is_no_npy(fixtures: Path, run: Run, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"f\.txt: a feature file ends in \.npy"):
        embed(fixtures / "folder", tmp_path / "f.txt", run.model)


def test_compare_of_crops_is_their_cosine(run: Run, crops: tuple[Path, Path]) -> None:
    one, other = features_of(run.model, [render(0, 0, 32), render(1, 0, 32)])
    assert compare(crops[0], crops[1], model=run.model, aligned=True).similarity == pytest.approx(one @ other, abs=1e-5)


def test_without_a_threshold_there_is_no_verdict(run: Run, crops: tuple[Path, Path]) -> None:
    found = compare(crops[0], crops[1], model=run.path, aligned=True)
    assert (found.threshold, found.same, found.far) == (None, None, None)
    assert found.source.startswith("no verification result of this model holds a threshold at FAR 1e-2")


@pytest.mark.parametrize(("threshold", "same"), [(-1.0, True), (1.1, False)])
def test_the_threshold_comes_from_the_runs_results(
    run: Run, crops: tuple[Path, Path], threshold: float, same: bool
) -> None:
    file = run.results / "verify-cfp.json"
    files.write_json(file, {"thresholds": {"1e-2": None, "1e-1": threshold}})
    found = compare(crops[0], crops[1], model=run.path, aligned=True, far="1e-1")
    assert (found.threshold, found.far, found.source, found.same) == (threshold, "1e-1", str(file), same)
    assert compare(crops[0], crops[1], model=run.path, aligned=True).same is None  # a FAR that could not be measured


def test_a_given_threshold_goes_first(run: Run, crops: tuple[Path, Path]) -> None:
    files.write_json(run.results / "verify-cfp.json", {"thresholds": {"1e-2": -1.0}})
    found = compare(crops[0], crops[1], model=run.path, aligned=True, threshold=1.1)
    assert (found.threshold, found.same, found.source) == (1.1, False, "given")


class Known(Detector):
    """Finds the given points, whatever it is shown."""

    def __init__(self, points: list[NDArray[np.float32]]) -> None:
        self.points = points

    def find(self, bgr: Image) -> list[Face]:
        if not self.points:
            return []
        return [Face(np.array([0, 0, 9, 9], np.float32), self.points.pop(0), 0.9)]


def test_compare_of_photographs_aligns_them_first(fixtures: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    photos = fixtures / "photos"
    points = {k: np.array(v, np.float32).reshape(5, 2) for k, v in files.read_json(photos / "landmarks.json").items()}
    chosen = [photos / "id_00000" / "0000.jpg", photos / "id_00001" / "0000.jpg"]
    known = [points[path.relative_to(photos).as_posix()] for path in chosen]
    monkeypatch.setattr(module, "open_detector", lambda path: Known(list(known)))
    warped = [warp(decode(p.read_bytes(), ""), five, 32) for p, five in zip(chosen, known, strict=True)]
    one, other = features_of(run.model, warped)
    found = compare(chosen[0], chosen[1], model=run.model, detector="any.onnx")
    assert found.similarity == pytest.approx(one @ other, abs=1e-5)


def test_a_photograph_without_a_face_is_said(fixtures: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "open_detector", lambda path: Known([]))
    photo = fixtures / "photos" / "id_00000" / "0000.jpg"
    with pytest.raises(DataError, match=r"0000\.jpg: no face was found; use a larger or sharper picture"):
        compare(photo, photo, model=run.model, detector="any.onnx")


def test_without_a_detector_one_is_asked_for(
    run: Run, crops: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(DETECTOR_VARIABLE, raising=False)
    with pytest.raises(SetupError, match=r"a face detector is needed: give --detector FILE or set FACEKD_DETECTOR"):
        compare(crops[0], crops[1], model=run.model)


def test_a_photograph_that_is_not_there_is_said(run: Run, crops: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.jpg does not exist; check the path"):
        compare(crops[0], tmp_path / "none.jpg", model=run.model, aligned=True)


def test_a_crop_that_is_not_square_is_not_squeezed(run: Run, crops: tuple[Path, Path], tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "wide.png"), np.zeros((32, 48, 3), np.uint8))
    with pytest.raises(DataError, match=r"wide\.png is 48x32, aligned crops are square"):
        compare(crops[0], tmp_path / "wide.png", model=run.model, aligned=True)
