from __future__ import annotations

import pytest

from facekd.deploy.students.grid import Student
from facekd.deploy.students.limits import bytes_limit, macs_limit, order_students, parameters_limit, within_limits
from facekd.deploy.targets.base import Precision
from facekd.errors import ModelError


def student(name: str, macs: int, size: int = 10**6, precision: Precision = "int8", parameters: int = 10) -> Student:
    return Student(name, {"width": 0.5}, 64, 128, precision, parameters, macs, size)


def test_the_best_has_most_multiply_adds_then_the_precision_then_most_parameters() -> None:
    ordered = [student("a", 9), student("b", 5, precision="fp32"), student("c", 5, precision="fp16", parameters=11),
               student("d", 5, precision="fp16"), student("e", 5), student("f", 1, precision="fp32")]
    assert order_students(ordered[::-1]) == ordered


def test_a_limit_includes_its_value() -> None:
    students = [student("a", 100, 300), student("b", 90, 301)]
    assert within_limits(students, [bytes_limit(300), macs_limit(100), parameters_limit(10)]) == students[:1]


@pytest.mark.parametrize(("limit", "message"), [
    (bytes_limit(100_000), "at most 0.1 MB: the smallest is b x0.5 at 64 px in int8, 128-d with 0.5 MB; give a larger "
                           "--budget"),
    (macs_limit(1_000_000), "at most 1 M multiply-adds: the smallest is a x0.5 at 64 px in int8, 128-d with 3 M "
                            "multiply-adds; give a larger --macs"),
])
def test_a_limit_that_nothing_meets_names_the_smallest(limit: object, message: str) -> None:
    students = [student("a", 3_000_000), student("b", 4_000_000, 500_000)]
    with pytest.raises(ModelError) as error:
        within_limits(students, [limit])  # type: ignore[list-item]
    assert str(error.value) == f"no student of the grid has {message}"


def test_limits_that_only_together_are_too_strict_name_the_smallest_file() -> None:
    students = [student("a", 3_000_000), student("b", 4_000_000, 500_000)]
    with pytest.raises(ModelError) as error:
        within_limits(students, [bytes_limit(600_000), macs_limit(3_500_000)])
    assert str(error.value) == (
        "no student of the grid is within --budget and --macs at once: the smallest file, b x0.5 at 64 px in int8, "
        "128-d, has 0.5 MB, 4 M multiply-adds; give a larger value to one of them")
