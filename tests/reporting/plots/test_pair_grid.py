from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from facekd.reporting.plots.pair_grid import GAP, LINE, SIDE, pair_grid

Crop = np.ndarray[Any, np.dtype[np.uint8]]


def decoded(data: bytes) -> Crop:
    bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert bgr is not None
    return np.asarray(bgr[..., ::-1], np.uint8)


def uniform_crop(color: tuple[int, int, int], side: int = 64) -> Crop:
    return np.full((side, side, 3), color, np.uint8)


def test_crops_keep_their_position_and_their_colors() -> None:
    grid = decoded(pair_grid([(uniform_crop((250, 20, 20)), uniform_crop((20, 20, 250)), 0.9, True)]))
    middle = LINE + GAP + SIDE // 2
    np.testing.assert_allclose(grid[middle, GAP + SIDE // 2], (250, 20, 20), atol=6)
    np.testing.assert_allclose(grid[middle, GAP + SIDE + SIDE // 2], (20, 20, 250), atol=6)


def test_a_threshold_separates_right_from_wrong() -> None:
    gray = uniform_crop((128, 128, 128))
    pairs = [(gray, gray, 0.9, True), (gray, gray, 0.8, False), (gray, gray, 0.1, False)]
    grid = decoded(pair_grid(pairs, threshold=0.5)).astype(int)
    middle = len(grid) // 2
    frames = [[int((np.abs(half - color).max(axis=-1) < 40).sum()) for color in ((0, 125, 90), (200, 70, 0))]
              for half in (grid[:middle], grid[middle:])]
    assert frames[0][0] > 500 and frames[0][1] == 0 and frames[1][0] == 0 and frames[1][1] > 200


@pytest.mark.parametrize("threshold", [None, 0.5])
def test_no_pairs_still_make_a_picture(threshold: float | None) -> None:
    assert decoded(pair_grid([], threshold=threshold)).shape[2] == 3


@pytest.mark.parametrize("side", [48, 96, 112, 256])
def test_crops_of_any_size_are_shown_alike(side: int) -> None:
    crop = uniform_crop((9, 9, 9), side)
    height, width = 2 * (LINE + GAP) + SIDE, GAP + 4 * (2 * SIDE + GAP)
    assert decoded(pair_grid([(crop, crop, 0.0, False)])).shape == (height, width, 3)


def test_columns_set_the_width(crops: list[Crop]) -> None:
    pairs = [(crops[i], crops[i + 1], 0.5, bool(i % 2)) for i in range(11)]
    two, six = (decoded(pair_grid(pairs, columns)) for columns in (2, 6))
    assert two.shape[1] == GAP + 2 * (2 * SIDE + GAP) and six.shape[0] < two.shape[0]
