from __future__ import annotations

import csv
import hashlib
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from facekd.data.alignment.landmarks import reference_landmarks, similarity_transform, warp_face
from facekd.data.containers.image_folder import FolderFaces
from facekd.data.synthetic.dataset import render_crop, render_photo, write_faces, write_pairs
from facekd.data.transforms import decode_crop
from facekd.errors import DataError


def test_a_picture_is_the_same_in_another_process() -> None:
    code = ("import sys; from facekd.data.synthetic.dataset import render_crop; "
            "sys.stdout.buffer.write(render_crop(3, 7, 96).tobytes())")
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    assert hashlib.sha256(other).digest() == hashlib.sha256(render_crop(3, 7, 96).tobytes()).digest()


@pytest.mark.parametrize("size", [48, 64, 112, 128])
def test_pictures_are_rgb_crops_of_any_size(size: int) -> None:
    image = render_crop(0, 0, size)
    assert image.shape == (size, size, 3)
    assert image.dtype == np.uint8


def test_identity_and_view_both_change_the_picture() -> None:
    assert np.abs(render_crop(0, 0).astype(int) - render_crop(1, 0)).mean() > 5
    assert np.abs(render_crop(0, 0).astype(int) - render_crop(0, 1)).mean() > 5


def test_the_mean_face_has_dark_eyes_and_mouth_at_the_template() -> None:
    mean = np.mean([render_crop(seed, 0) for seed in range(150)], axis=(0, 3))
    points = reference_landmarks(112)
    for x, y in points[:2].round().astype(int):
        eye, cheek = mean[y - 2 : y + 3, x - 2 : x + 3].mean(), mean[y + 12 : y + 17, x - 2 : x + 3].mean()
        assert eye < cheek - 10
    x, y = points[3:].mean(axis=0).round().astype(int)
    assert mean[y - 2 : y + 3, x - 3 : x + 4].mean() < mean[y + 13 : y + 17, x - 3 : x + 4].mean() - 10


def test_exact_points_bring_a_photograph_to_the_template() -> None:
    errors = []
    for seed in range(30):
        image, points = render_photo(seed, seed)
        assert image.shape == (250, 250, 3)
        assert (points > 0).all() and (points < 250).all()
        matrix = similarity_transform(points, reference_landmarks(112))
        errors.append(np.abs(points @ matrix[:, :2].T + matrix[:, 2] - reference_landmarks(112)).mean())
    assert np.mean(errors) < 4


def test_a_photographs_points_lie_on_its_features() -> None:
    crops = [warp_face(*render_photo(seed, 0)).mean(axis=2) for seed in range(150)]
    mean = np.mean(crops, axis=0)
    for x, y in reference_landmarks(112)[:2].round().astype(int):
        assert mean[y - 2 : y + 3, x - 2 : x + 3].mean() < mean[y + 12 : y + 17, x - 2 : x + 3].mean() - 10


def test_raw_pixels_hardly_tell_identities_apart() -> None:
    crops = np.stack([[render_crop(seed, view, 32) for view in (0, 1)] for seed in range(100)])
    views = crops.reshape(100, 2, -1) - 127.5
    views /= np.linalg.norm(views, axis=2, keepdims=True)
    cosines = views[:, 0] @ views[:, 1].T
    same, different = np.diag(cosines), cosines[~np.eye(100, dtype=bool)]
    accuracy = max(((same >= t).mean() + (different < t).mean()) / 2 for t in same)
    assert 0.5 < accuracy < 0.72


def test_a_written_folder_is_a_face_set(tmp_path: Path) -> None:
    write_faces(tmp_path, range(5, 8), 2, size=64)
    faces = FolderFaces(tmp_path)
    assert faces.class_names == ["id_00005", "id_00006", "id_00007"]
    assert faces.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert np.abs(decode_crop(faces.read(3), 64, "").astype(int) - render_crop(6, 1, 64)).mean() < 8


def test_pairs_are_balanced_distinct_and_apart(tmp_path: Path) -> None:
    write_faces(tmp_path, range(12), 4, size=16)
    write_pairs(tmp_path, range(12), 4, 20, 3, tmp_path / "pairs.csv")
    rows = list(csv.DictReader((tmp_path / "pairs.csv").open()))
    assert Counter((row["fold"], row["same"]) for row in rows) == {(f, s): 10 for f in "123" for s in "01"}
    assert len({(row["path1"], row["path2"]) for row in rows}) == 60
    folds_of: dict[str, set[str]] = {}
    for row in rows:
        for name in (row["path1"], row["path2"]):
            folds_of.setdefault(name.split("/")[0], set()).add(row["fold"])
    assert all(len(folds) == 1 for folds in folds_of.values())
    for row in rows:
        assert (row["path1"].split("/")[0] == row["path2"].split("/")[0]) == (row["same"] == "1")
        assert row["path1"] != row["path2"]


def test_more_pairs_than_there_are_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="give 12 pairs of a kind, 13 are needed"):
        write_pairs(tmp_path, range(4), 3, 26, 1, tmp_path / "pairs.csv")


def test_pairs_of_absent_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"id_0000\d/000\d\.jpg"):
        write_pairs(tmp_path, range(4), 3, 4, 1, tmp_path / "pairs.csv")
