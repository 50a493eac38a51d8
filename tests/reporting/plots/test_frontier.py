from __future__ import annotations

from facekd.reporting.plots.frontier import FrontierPoint, frontier_picture

POINTS = [FrontierPoint("fp32", "teacher", 4.0, 0.0), FrontierPoint("int8", "teacher", 1.2, 0.03),
          FrontierPoint("int8", "student", 0.6, 0.08)]


def test_every_model_network_and_axis_is_named() -> None:
    picture = frontier_picture(POINTS, "MB", "1 - cosine")
    assert picture.startswith("<?xml") or "<svg" in picture
    for text in ("fp32", "int8", "teacher", "student", "MB", "1 - cosine"):
        assert text in picture
    assert "budget" not in picture


def test_the_budget_is_drawn() -> None:
    assert "budget" in frontier_picture(POINTS, "MB", "loss", budget=1.0)


def test_equal_input_gives_equal_bytes() -> None:
    assert frontier_picture(POINTS, "MB", "loss") == frontier_picture(POINTS, "MB", "loss")
