from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from insightface.utils import face_align

from facekd.data.alignment.landmarks import reference_landmarks, similarity_transform, warp_face
from facekd.data.opening import open_faces
from facekd.data.synthetic.dataset import render_photo
from facekd.data.transforms import decode
from facekd.errors import DataError


@pytest.mark.filterwarnings("ignore:`estimate` is deprecated")
@pytest.mark.parametrize("size", [112, 128, 224, 256, 896])
def test_matrix_equals_insightface(size: int) -> None:
    points = reference_landmarks(112) * 1.7 + np.random.default_rng(size).normal(0, 6, (5, 2)) + 40
    expected = face_align.estimate_norm(points.astype(np.float32), size)
    matrix = similarity_transform(points, reference_landmarks(size))
    np.testing.assert_allclose(matrix, expected, rtol=0, atol=2e-3)


@pytest.mark.filterwarnings("ignore:`estimate` is deprecated")
def test_crop_equals_insightface() -> None:
    image, points = render_photo(5, 1)
    expected = face_align.norm_crop(image, points, 112)
    assert np.abs(warp_face(image, points).astype(int) - expected).mean() < 0.05


def test_other_sizes_show_what_112_shows() -> None:
    np.testing.assert_allclose(reference_landmarks(64) / 64, reference_landmarks(112) / 112)


def test_similarity_recovers_a_known_motion() -> None:
    points = np.random.default_rng(0).normal(0, 30, (5, 2))
    rotation = 1.3 * np.array([[np.cos(2.5), -np.sin(2.5)], [np.sin(2.5), np.cos(2.5)]])
    matrix = similarity_transform(points, points @ rotation.T + [7, -9])
    np.testing.assert_allclose(matrix, np.column_stack([rotation, [7, -9]]), atol=1e-12)


def test_similarity_never_mirrors() -> None:
    points = reference_landmarks(112)
    assert np.linalg.det(similarity_transform(points, points * [-1, 1])[:, :2]) > 0


def test_coinciding_points_are_refused() -> None:
    with pytest.raises(DataError, match="coincide"):
        similarity_transform(np.ones((5, 2)), reference_landmarks(112))


def test_outside_the_photograph_is_black() -> None:
    crop = warp_face(np.full((50, 50, 3), 255, np.uint8), reference_landmarks(112))
    assert crop[:49, :49].min() == 255
    assert crop[50:].max() == 0


def test_crops_from_given_points_match_the_training_set(shared: Path) -> None:
    photos = shared / "faces" / "photos"
    points = json.loads((photos / "landmarks_yunet.json").read_text())
    crops = {
        name: warp_face(decode((photos / name).read_bytes(), name), np.array(flat).reshape(5, 2))
        for name, flat in points.items()
    }
    faces = open_faces(shared / "faces" / "train")
    distances = []
    for name, crop in crops.items():
        label = faces.class_names.index(name.split("/")[0])
        records = [decode(faces.read(int(i)), name).astype(int) for i in np.flatnonzero(faces.labels == label)]
        distances.append(min(np.abs(record - crop).mean() for record in records))
    assert len(distances) == 120
    assert max(distances) <= 2.5
