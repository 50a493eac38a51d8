"""What all face detectors share: the scale of the photograph, and faces with five landmarks."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from facekd.data import cv2
from facekd.errors import ModelError
from facekd.text import shorten

Image = NDArray[np.uint8]

MAX_LONGER_SIDE = 1280
"""Photographs with a longer side above this (pixels) are shrunk to it before detection."""
MIN_LONGER_SIDE = 192
"""Smaller photographs are enlarged to this (pixels): detectors miss small faces and place their landmarks badly."""
MIN_SHORTER_SIDE = 16
"""An image with a shorter side below this (pixels, after scaling) is not searched for faces."""


class DetectedFace(NamedTuple):
    """One detected face.

    Attributes:
        box: float32 [4], left, top, right, bottom in pixels of the photograph; it may extend beyond the border.
        landmarks: float32 [5, 2], (x, y) of left eye, right eye, nose, left and right mouth corner. Left and right are
            those of the image.
        score: the confidence of the detector, 0 to 1.
    """

    box: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    score: float


class Detector(ABC):
    """A face detector. It must not be used from several threads at once; each of them has its own, see `clone`.

    Attributes:
        fingerprint: hexadecimal SHA-256 of the detector's file.
        max_instances: how many instances are used at once; each takes memory.
    """

    fingerprint: str
    max_instances = 16

    def __call__(self, image: Image) -> list[DetectedFace]:
        """Detect the faces of a photograph.

        Args:
            image: uint8 [height, width, 3], RGB.

        Returns:
            The faces in pixel coordinates of the photograph, largest first (see `sort_by_area`).
        """
        longer = max(image.shape[:2])
        scale = min(max(longer, MIN_LONGER_SIDE), MAX_LONGER_SIDE) / longer
        height, width = (max(round(side * scale), 1) for side in image.shape[:2])
        if min(height, width) < MIN_SHORTER_SIDE:
            return []
        bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        if scale != 1:
            interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
            bgr = cv2.resize(bgr, (width, height), interpolation=interpolation)
        to_photograph = np.array([image.shape[1] / width, image.shape[0] / height], np.float32)
        try:
            faces = self.detect(bgr.astype(np.uint8, copy=False))
        except Exception as error:  # of OpenCV, ONNX Runtime, InsightFace and NumPy, without a common base
            raise ModelError(f"the detector fails on an image of {width}x{height} ({shorten(error)}); download it "
                             "again, or use another one") from error
        return sort_by_area(
            [
                DetectedFace(face.box * np.tile(to_photograph, 2), face.landmarks * to_photograph, face.score)
                for face in faces
            ]
        )

    def clone(self) -> Detector:
        """Return another instance of the same detector, for another thread; a class with a network overrides it."""
        return copy.copy(self)

    @abstractmethod
    def detect(self, bgr: Image) -> list[DetectedFace]:
        """Detect the faces of an image of suitable size, uint8 [height, width, 3] in OpenCV's color order, BGR."""


def sort_by_area(faces: Sequence[DetectedFace]) -> list[DetectedFace]:
    """Sort faces by the area of their boxes, largest first; faces of equal area by score, highest first."""
    return sorted(faces, key=lambda face: (float(np.prod(face.box[2:] - face.box[:2])), face.score), reverse=True)
