from __future__ import annotations

from facekd.data import cv2


def test_opencv_uses_one_thread() -> None:
    assert cv2.getNumThreads() == 1
