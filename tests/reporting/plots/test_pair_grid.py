from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from facekd.reporting.plots.pair_grid import GAP, LINE, SIDE, pair_sheet

Crop = np.ndarray[Any, np.dtype[np.uint8]]


def decoded(data: bytes) -> Crop:
    bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert bgr is not None
    return np.asarray(bgr[..., ::-1], np.uint8)


def flat(colour: tuple[int, int, int], side: int = 64) -> Crop:
    return np.full((side, side, 3), colour, np.uint8)


def test_crops_keep_their_place_and_their_colours() -> None:
    sheet = decoded(pair_sheet([(flat((250, 20, 20)), flat((20, 20, 250)), 0.9, True)]))
    middle = LINE + GAP + SIDE // 2
    np.testing.assert_allclose(sheet[middle, GAP + SIDE // 2], (250, 20, 20), atol=6)
    np.testing.assert_allclose(sheet[middle, GAP + SIDE + SIDE // 2], (20, 20, 250), atol=6)


def test_a_threshold_parts_right_from_wrong() -> None:
    grey = flat((128, 128, 128))
    pairs = [(grey, grey, 0.9, True), (grey, grey, 0.8, False), (grey, grey, 0.1, False)]
    sheet = decoded(pair_sheet(pairs, threshold=0.5)).astype(int)
    half = len(sheet) // 2
    frames = [[int((np.abs(part - colour).max(axis=-1) < 40).sum()) for colour in ((0, 125, 90), (200, 70, 0))]
              for part in (sheet[:half], sheet[half:])]
    assert frames[0][0] > 500 and frames[0][1] == 0 and frames[1][0] == 0 and frames[1][1] > 200


@pytest.mark.parametrize("threshold", [None, 0.5])
def test_no_pairs_still_make_a_picture(threshold: float | None) -> None:
    assert decoded(pair_sheet([], threshold=threshold)).shape[2] == 3


@pytest.mark.parametrize("side", [48, 96, 112, 256])
def test_crops_of_any_size_are_shown_alike(side: int) -> None:
    crop = flat((9, 9, 9), side)
    high, wide = 2 * (LINE + GAP) + SIDE, GAP + 4 * (2 * SIDE + GAP)
    assert decoded(pair_sheet([(crop, crop, 0.0, False)])).shape == (high, wide, 3)


def test_columns_set_the_width(crops: list[Crop]) -> None:
    pairs = [(crops[i], crops[i + 1], 0.5, bool(i % 2)) for i in range(11)]
    two, six = (decoded(pair_sheet(pairs, columns)) for columns in (2, 6))
    assert two.shape[1] == GAP + 2 * (2 * SIDE + GAP) and six.shape[0] < two.shape[0]
