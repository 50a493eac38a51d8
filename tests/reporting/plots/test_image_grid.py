from __future__ import annotations

import cv2
import numpy as np

from facekd.reporting.plots.image_grid import image_grid
from facekd.reporting.plots.pair_grid import GAP, LINE, SIDE


def test_images_stand_in_their_order_with_their_colors() -> None:
    colors = [(250, 20, 20), (20, 20, 250), (20, 250, 20)]
    images = [(np.full((64, 64, 3), color, np.uint8), "0.5") for color in colors]
    grid = cv2.imdecode(np.frombuffer(image_grid(images, "title", columns=2), np.uint8), cv2.IMREAD_COLOR)
    assert grid is not None
    rgb = grid[..., ::-1]
    for number, color in enumerate(colors):
        row, column = divmod(number, 2)
        top, left = LINE + GAP + row * (SIDE + LINE + GAP), GAP + column * (SIDE + GAP)
        np.testing.assert_allclose(rgb[top + SIDE // 2, left + SIDE // 2], color, atol=6)


def test_a_grid_without_images_has_its_title() -> None:
    assert image_grid([], "nothing")[:2] == b"\xff\xd8"
