from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

from facekd.reporting.plots.cosines import cosine_curves

LOG: list[dict[str, Any]] = [{"epoch": i / 10, "teacher_cosine": 1 - 1 / i} for i in range(1, 40)]


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


def test_both_curves_are_named() -> None:
    log = [line | ({"held_out_cosine": 0.5} if number % 10 == 0 else {}) for number, line in enumerate(LOG)]
    assert {"training images", "held-out images", "cosine to the teacher"} <= set(texts(cosine_curves(log)))


def test_only_what_was_measured_is_drawn() -> None:
    assert "held-out images" not in texts(cosine_curves(LOG))


def test_the_same_input_gives_the_same_bytes() -> None:
    assert cosine_curves(LOG) == cosine_curves(LOG)
