from __future__ import annotations

from typing import Any

from facekd.reporting.plots.route import route_picture, route_table, students_picture
from facekd.route.profile import PointProfile
from facekd.route.route import Point


def profiles(count: int, **measured: Any) -> list[PointProfile]:
    points = [Point(10 * i, i + 1.0, 0.1, "epoch", f"{i}.safetensors", "0" * 64, {"loss": 3.0 - i})
              for i in range(count)]
    return [PointProfile(number, point, **measured) for number, point in enumerate(points)]


def test_only_what_was_measured_is_drawn() -> None:
    bare = route_picture(profiles(3), [1, 2], "teacher")
    assert "training loss" in bare and "accuracy" not in bare and "congruence" not in bare and "change" not in bare
    measured = profiles(3, metric=0.5, metric_name="accuracy", net_change=0.1, congruence_to_end=1.0,
                        aligned_to_end=0.5, congruence_to_student=2.0)
    full = route_picture(measured, [1], "teacher")
    assert "accuracy" in full and "training loss" not in full and full.count("congruence loss") == 2
    assert "net change" in full and "best rotation" in full


def test_faces_have_their_metric() -> None:
    picture = route_picture(profiles(3, metric=0.5, metric_name="AUC", net_change=0.1), [1], "teacher")
    assert "AUC" in picture and "net change" in picture


def test_a_picture_is_the_same_every_time() -> None:
    assert route_picture(profiles(3), [1], "teacher") == route_picture(profiles(3), [1], "teacher")


def test_the_table_has_a_line_a_point() -> None:
    assert route_table(profiles(5, congruence_to_end=0.25)).row_count == 5


def test_the_table_names_the_metric() -> None:
    headings = [column.header for column in route_table(profiles(2, metric=0.5, metric_name="AUC")).columns]
    assert headings[4:7] == ["loss", "AUC", "change"]
    assert [column.header for column in route_table(profiles(2)).columns][5] == "metric"


def test_students_are_drawn_with_their_last_congruence_loss() -> None:
    log = [{"step": e, "epoch": float(e), "stage": 0, "learning_rate": 0.1, "seconds_per_step": 1.0,
            "loss": 9.0, "labels": 7.0, "kd": 4.0 / e} for e in (1, 2, 4)]
    picture = students_picture({"rco-seed0": log, "kd-seed0": log[:2]})
    assert "rco-seed0: 1" in picture and "kd-seed0: 2" in picture
    assert "kd (weighted" in picture and "labels" not in picture


def test_a_student_of_less_than_half_an_epoch_is_drawn_too() -> None:
    assert "kd-seed0: 3" in students_picture({"kd-seed0": [{"step": 5, "epoch": 0.25, "loss": 3.0, "kd": 3.0}]})


def test_names_are_no_formulas() -> None:
    log = [{"step": 1, "epoch": 1.0, "stage": 0, "learning_rate": 0.1, "loss": 9.0, "kd$\\frac{$": 4.0}]
    assert "$\\frac{$" in students_picture({"a$b$c": log, "$\\frac{$": log})
    assert "$\\frac{$" in route_picture(profiles(3), [1], "$\\frac{$")


def test_a_student_without_another_term_has_no_curve() -> None:
    line = {"step": 1, "epoch": 1.0, "stage": 0, "learning_rate": 0.1, "loss": 9.0, "labels": 9.0}
    logs = {"only-labels": [line], "kd": [{**line, "kd": 1.0}, {**line, "step": 2}]}
    assert "only-labels" not in students_picture(logs)
