from __future__ import annotations

from facekd.reporting.plots.conditions import conditions_picture

VALUES = {"kd": [[50.0, 52.0], [96.0]], "rco": [[], [100.0, 99.0]]}


def test_methods_and_conditions_are_named() -> None:
    picture = conditions_picture(VALUES, ["8 epochs", "16 epochs"], "top-1 (%)")
    assert all(f">{text}</text>" in picture for text in ("kd", "rco", "8 epochs", "16 epochs", "top-1 (%)"))


def test_a_picture_is_the_same_every_time() -> None:
    assert conditions_picture(VALUES, ["a", "b"], "y") == conditions_picture(VALUES, ["a", "b"], "y")


def test_more_methods_than_colors_and_none_at_all() -> None:
    assert conditions_picture({str(number): [[1.0]] for number in range(20)}, ["a"], "y").count("legend") >= 1
    assert "<svg" in conditions_picture({}, ["a"], "y")
