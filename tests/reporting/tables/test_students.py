from __future__ import annotations

from dataclasses import replace

from facekd.deploy.students.grid import Student
from facekd.reporting.tables.students import models_table, students_table

STUDENT = Student("mobilefacenet", {"width": 0.5}, 64, 128, "int8", 288_704, 59_102_464, 486_202)


def test_the_costs_are_shown_in_millions() -> None:
    table = students_table([STUDENT])
    assert [next(iter(column.cells)) for column in table.columns] == [
        "mobilefacenet x0.5", "64", "int8", "0.486", "0.289", "59.1"]


def test_milliseconds_are_shown_where_they_were_measured() -> None:
    table = students_table([replace(STUDENT, milliseconds=3.456)])
    assert (table.columns[-1].header, list(table.columns[-1].cells)) == ("ms", ["3.46"])


def test_models_are_shown_with_their_options() -> None:
    table = models_table({"a": "width, norm", "b": "none"})
    assert [list(column.cells) for column in table.columns] == [["a", "b"], ["width, norm", "none"]]
