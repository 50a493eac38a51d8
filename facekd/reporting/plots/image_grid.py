"""A grid of single images, each with a figure: for example those on which a student is farthest from its teacher."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from facekd.reporting.plots.pair_grid import GAP, INK, LINE, SIDE, encode_jpeg, resize, write_text


def image_grid(images: Sequence[tuple[NDArray[np.uint8], str]], title: str, columns: int = 8) -> bytes:
    """Draw images in a grid with a caption below each.

    Args:
        images: RGB crops uint8 [side, side, 3] and their captions, in the order of the grid.
        title: the line above the grid.
        columns: number of images in a row.

    Returns:
        The grid as a JPEG file.

    Raises:
        ValueError: the grid is too large for a JPEG file.
    """
    cell_width, cell_height = SIDE + GAP, SIDE + LINE + GAP
    rows = -(-len(images) // columns)
    canvas = np.full((LINE + GAP + rows * cell_height, GAP + columns * cell_width, 3), 255, np.uint8)
    write_text(canvas, title, GAP, LINE, 0.5, INK)
    for number, (crop, caption) in enumerate(images):
        row, column = divmod(number, columns)
        top, left = LINE + GAP + row * cell_height, GAP + column * cell_width
        canvas[top : top + SIDE, left : left + SIDE] = resize(crop)
        write_text(canvas, caption, left, top + SIDE + 16, 0.42, INK)
    return encode_jpeg(canvas)
