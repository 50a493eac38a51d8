from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from facekd.data.alignment.detector import DetectedFace, Detector, sort_by_area

Image = NDArray[np.uint8]


class RecordingDetector(Detector):
    """Finds one face in the center of every image, and records the last image."""

    fingerprint = "spy"

    def detect(self, bgr: Image) -> list[DetectedFace]:
        self.image = bgr
        height, width = bgr.shape[:2]
        box = np.array([width / 4, height / 4, width / 2, height / 2], np.float32)
        return [DetectedFace(box, np.tile(np.array([width / 2, height / 2], np.float32), (5, 1)), 0.5)]


@pytest.mark.parametrize(
    ("shape", "detector_shape"),
    [((3000, 4000), (960, 1280)), ((480, 640), (480, 640)), ((48, 64), (144, 192)), ((1280, 1280), (1280, 1280))],
)
def test_pictures_are_brought_to_a_sensible_size(shape: tuple[int, int], detector_shape: tuple[int, int]) -> None:
    detector = RecordingDetector()
    face = detector(np.zeros((*shape, 3), np.uint8))[0]
    assert detector.image.shape[:2] == detector_shape
    np.testing.assert_allclose(face.landmarks[0], [shape[1] / 2, shape[0] / 2], rtol=1e-5)
    np.testing.assert_allclose(face.box, np.array([shape[1], shape[0], 2 * shape[1], 2 * shape[0]]) / 4, rtol=1e-5)


def test_detectors_get_bgr() -> None:
    detector = RecordingDetector()
    detector(np.full((200, 200, 3), (255, 10, 0), np.uint8))
    assert detector.image[0, 0].tolist() == [0, 10, 255]


@pytest.mark.parametrize("shape", [(1, 1), (1, 4000), (3000, 10)])
def test_no_face_is_looked_for_in_a_strip(shape: tuple[int, int]) -> None:
    detector = RecordingDetector()
    assert bool(detector(np.zeros((*shape, 3), np.uint8))) == (shape == (1, 1))


def test_the_largest_face_comes_first_then_the_surer() -> None:
    points = np.zeros((5, 2), np.float32)
    small, large, sure = (
        DetectedFace(np.array([5, 5, 5 + side, 5 + side], np.float32), points, score)
        for side, score in ((10, 0.99), (20, 0.7), (20, 0.8))
    )
    assert sort_by_area([small, large, sure]) == [sure, large, small]
