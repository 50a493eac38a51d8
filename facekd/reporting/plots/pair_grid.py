"""A grid of image pairs: the pairs that a model decides most clearly right, and most clearly wrong."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Color = tuple[int, int, int]
"""Red, green and blue, 0 to 255."""
Pair = tuple[NDArray[np.uint8], NDArray[np.uint8], float, bool]
"""Two RGB crops uint8 [side, side, 3], the score of the model, and whether the crops show one person."""

SIDE = 96
"""Side in pixels of every crop in the grid."""
GAP = 14
"""Space between pairs in pixels."""
LINE = 22
"""Height of a line of text in pixels."""
INK = (29, 35, 41)
GREEN = (0, 125, 90)
RED = (200, 70, 0)
JPEG_QUALITY = 88


def pair_grid(images: Sequence[Pair], columns: int = 4, threshold: float | None = None) -> bytes:
    """Draw pairs in a grid, each with its true label and its score.

    Args:
        images: the pairs, in the order of the grid.
        columns: number of pairs in a row.
        threshold: the score above which a pair is accepted. With a threshold the grid has two groups: correct decisions
            (green) and wrong decisions (red).

    Returns:
        The grid as a JPEG file; without pairs a picture with a line that says so.

    Raises:
        ValueError: the grid is too large for a JPEG file.
    """
    if threshold is None:
        groups = [(f"{len(images)} pairs", INK, list(images))]
    else:
        correct = [pair for pair in images if (pair[2] > threshold) == pair[3]]
        wrong = [pair for pair in images if (pair[2] > threshold) != pair[3]]
        groups = [(f"most clearly right (threshold {threshold:.3f})", GREEN, correct),
                  ("most clearly wrong", RED, wrong)]
    grid = np.concatenate([_draw_group(title, color, pairs, columns) for title, color, pairs in groups])
    return encode_jpeg(grid)


def encode_jpeg(canvas: NDArray[np.uint8]) -> bytes:
    """Return an RGB picture as a JPEG file.

    Raises:
        ValueError: the picture is too large for a JPEG file.
    """
    bgr = cv2.cvtColor(canvas, cv2.COLOR_RGB2BGR)
    encoded, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not encoded:
        raise ValueError(f"a grid of {canvas.shape} pixels could not be encoded as JPEG")
    return data.tobytes()


def _draw_group(title: str, color: Color, pairs: Sequence[Pair], columns: int) -> NDArray[np.uint8]:
    """Return a heading and the pairs below it: uint8 [height, width, 3]; the width depends on ``columns`` alone."""
    cell_width = 2 * SIDE + GAP
    cell_height = SIDE + LINE + GAP
    rows = -(-len(pairs) // columns)
    canvas = np.full((LINE + GAP + rows * cell_height, GAP + columns * cell_width, 3), 255, np.uint8)
    write_text(canvas, title if pairs else f"{title}: none", GAP, LINE, 0.55, color)
    for number, (first, second, score, same) in enumerate(pairs):
        row, column = divmod(number, columns)
        top, left = LINE + GAP + row * cell_height, GAP + column * cell_width
        canvas[top : top + SIDE, left : left + 2 * SIDE] = np.concatenate([resize(first), resize(second)], axis=1)
        cv2.rectangle(canvas, (left - 2, top - 2), (left + 2 * SIDE + 1, top + SIDE + 1), color, 2)
        write_text(canvas, f"{'one person' if same else 'two people'}  {score:.3f}", left, top + SIDE + 16, 0.42, INK)
    return canvas


def resize(crop: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Scale a square crop to `SIDE`, uint8 [SIDE, SIDE, 3]."""
    shrinks = crop.shape[0] > SIDE
    resized = cv2.resize(crop, (SIDE, SIDE), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    return np.asarray(resized, np.uint8)


def write_text(canvas: NDArray[np.uint8], text: str, left: int, baseline: int, scale: float, color: Color) -> None:
    """Write a line of text on a canvas; ``baseline`` is its lowest pixel row."""
    cv2.putText(canvas, text, (left, baseline), cv2.FONT_HERSHEY_SIMPLEX, scale, color, 1, cv2.LINE_AA)
