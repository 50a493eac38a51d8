from __future__ import annotations

import numpy as np
import pytest

from facekd.data.synthetic.face import TRAIT_RANGES, Brush, SyntheticFace


def face(seed: int = 4, view: int = 1) -> SyntheticFace:
    return SyntheticFace(seed, np.random.default_rng(view))


def test_an_identity_keeps_its_traits_over_views() -> None:
    assert SyntheticFace(4, np.random.default_rng(1)).traits == SyntheticFace(4, np.random.default_rng(2)).traits


def test_traits_are_within_their_ranges() -> None:
    for seed in range(20):
        traits = face(seed).traits
        assert traits.keys() == TRAIT_RANGES.keys()
        assert all(low <= traits[name] <= high for name, (low, high) in TRAIT_RANGES.items())


def test_left_and_right_landmarks_are_mirrored_without_yaw() -> None:
    """Yaw moves the landmarks sideways; averaged over views it vanishes, and the face is symmetric."""
    mean = np.mean([face(4, view).landmarks() for view in range(2000)], axis=0)
    assert mean.shape == (5, 2)
    np.testing.assert_allclose(mean[0] * [-1, 1], mean[1], atol=0.5)
    np.testing.assert_allclose(mean[3] * [-1, 1], mean[4], atol=0.5)


def test_a_line_is_painted_where_its_points_are() -> None:
    scene = np.zeros((50, 50, 3), np.uint8)
    subject = face()
    matrix = np.array([[1.0, 0.0, 25.0], [0.0, 1.0, 25.0]])
    Brush(scene, subject, matrix).line([[-10, 0], [10, 0]], 4.0, np.array([10.0, 200.0, 30.0]))
    for x, y in subject.rotate([[-10, 0], [10, 0]]) + 25:
        around = scene[round(y) - 1 : round(y) + 2, round(x) - 1 : round(x) + 2].reshape(-1, 3)
        assert around.max(axis=0) == pytest.approx([10, 200, 30], abs=5)
    assert scene[:5].max() == scene[45:].max() == 0


@pytest.mark.parametrize("radius", [4, 8])
def test_an_oval_has_its_area(radius: int) -> None:
    """OpenCV's polygons include their border, half a pixel on each side."""
    scene = np.zeros((60, 60, 3), np.uint8)
    subject = face()
    subject.rotate = lambda points, lift=0.0: np.asarray(points, np.float64)  # type: ignore[method-assign]
    matrix = np.array([[1.0, 0.0, 30.0], [0.0, 1.0, 30.0]])
    Brush(scene, subject, matrix).oval([0, 0], [radius, 2 * radius], np.full(3, 255.0))
    assert scene[..., 0].sum() / 255 == pytest.approx(np.pi * (radius + 0.5) * (2 * radius + 0.5), rel=0.1)
