"""A contact sheet of image pairs: what a model is most sure of, and where it is most wrong."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Colour = tuple[int, int, int]
Pair = tuple[NDArray[np.uint8], NDArray[np.uint8], float, bool]
"""Two RGB crops uint8 [side, side, 3], the score of the model, and whether they show one person."""

SIDE = 96
"""Side in pixels at which every crop is shown."""
GAP, LINE = 14, 22
INK, GREEN, RED = (29, 35, 41), (0, 125, 90), (200, 70, 0)
QUALITY = 88


def pair_sheet(images: Sequence[Pair], columns: int = 4, threshold: float | None = None) -> bytes:
    """Draw pairs in a grid, each with its truth and its score.

    Args:
        images: the pairs, in the order they are to be shown.
        columns: pairs beside each other.
        threshold: pairs above it are accepted; given, the pairs are shown under two headings, decided rightly (green)
            and decided wrongly (red).

    Returns:
        The sheet as a JPEG file. With no pair it is one line that says so.
    """
    if threshold is None:
        groups = [(f"{len(images)} pairs", INK, list(images))]
    else:
        right = [pair for pair in images if (pair[2] > threshold) == pair[3]]
        wrong = [pair for pair in images if (pair[2] > threshold) != pair[3]]
        groups = [(f"most clearly right (threshold {threshold:.3f})", GREEN, right), ("most clearly wrong", RED, wrong)]
    sheet = np.concatenate([_group(title, colour, pairs, columns) for title, colour, pairs in groups])
    done, data = cv2.imencode(".jpg", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    if not done:
        raise ValueError(f"a sheet of {sheet.shape} pixels could not be encoded")
    return data.tobytes()


def _group(title: str, colour: Colour, pairs: Sequence[Pair], columns: int) -> NDArray[np.uint8]:
    """A heading and the pairs under it: uint8 [height, width, 3]; all groups are equally wide."""
    wide, high = 2 * SIDE + GAP, SIDE + LINE + GAP
    rows = -(-len(pairs) // columns)
    canvas = np.full((LINE + GAP + rows * high, GAP + columns * wide, 3), 255, np.uint8)
    _write(canvas, title if pairs else f"{title}: none", GAP, LINE, 0.55, colour)
    for number, (first, second, score, same) in enumerate(pairs):
        row, column = divmod(number, columns)
        top, left = LINE + GAP + row * high, GAP + column * wide
        both = np.concatenate([_fit(first), _fit(second)], axis=1)
        canvas[top : top + SIDE, left : left + 2 * SIDE] = both
        cv2.rectangle(canvas, (left - 2, top - 2), (left + 2 * SIDE + 1, top + SIDE + 1), colour, 2)
        _write(canvas, f"{'one person' if same else 'two people'}  {score:.3f}", left, top + SIDE + 16, 0.42, INK)
    return canvas


def _fit(crop: NDArray[np.uint8]) -> NDArray[np.uint8]:
    smaller = crop.shape[0] > SIDE
    resized = cv2.resize(crop, (SIDE, SIDE), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC)
    return np.asarray(resized, np.uint8)


def _write(canvas: NDArray[np.uint8], text: str, left: int, base: int, scale: float, colour: Colour) -> None:
    cv2.putText(canvas, text, (left, base), cv2.FONT_HERSHEY_SIMPLEX, scale, colour, 1, cv2.LINE_AA)
