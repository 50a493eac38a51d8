"""The table of ``facekd students`` for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.table import Table

from facekd.deploy.students.grid import Student

ORDER_NOTE = ("best first: most multiply-adds within the limits, a guess that holds within one architecture as a rule; "
              "train two students to be sure")
COST_NOTE = "MB: the ONNX file that 'facekd export' writes, in 10^6 bytes, within 3 %"
TIME_NOTE = "ms: median of one image on one thread of this machine, untrained weights; a phone may differ"


def students_table(students: Sequence[Student]) -> Table:
    """Return a table with one row per student; milliseconds only where they were measured."""
    is_measured = any(student.milliseconds is not None for student in students)
    table = Table(box=None)
    for heading in ("student", "px", "precision", "MB", "M parameters", "M multiply-adds", *(["ms"] * is_measured)):
        table.add_column(heading, justify="left" if heading in ("student", "precision") else "right")
    for student in students:
        time = [f"{student.milliseconds:.2f}"] if student.milliseconds is not None else []
        table.add_row(student.title, str(student.size), student.precision, f"{student.bytes / 1e6:.3f}",
                      f"{student.parameters / 1e6:.3f}", f"{student.macs / 1e6:.1f}", *time)
    return table


def models_table(options: Mapping[str, str]) -> Table:
    """Return a table of all architectures with the names of their options."""
    table = Table("model", "options", box=None)
    for name, names in options.items():
        table.add_row(name, names)
    return table
