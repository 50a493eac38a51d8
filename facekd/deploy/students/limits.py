"""The limits of a student that a user states, and their order: the best student first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from facekd.deploy.students.grid import PRECISIONS, Student
from facekd.errors import ModelError


@dataclass(frozen=True)
class Limit:
    """The largest value of one cost.

    Attributes:
        option: the option that states it, e.g. ``--budget``.
        value: the largest value, in the unit of ``cost``.
        cost: returns the cost of a student.
        describe: returns a cost as words, e.g. "0.3 MB".
    """

    option: str
    value: float
    cost: Callable[[Student], float]
    describe: Callable[[float], str]

    def accepts(self, student: Student) -> bool:
        """Return whether a student is within the limit."""
        return self.cost(student) <= self.value


def bytes_limit(value: int) -> Limit:
    """Return a limit of the bytes of the ONNX file."""
    return Limit("--budget", value, lambda student: student.bytes, lambda cost: f"{cost / 1e6:.3g} MB")


def macs_limit(value: int) -> Limit:
    """Return a limit of the multiply-adds for one image."""
    return Limit("--macs", value, lambda student: student.macs, lambda cost: f"{cost / 1e6:.3g} M multiply-adds")


def parameters_limit(value: int) -> Limit:
    """Return a limit of the number of parameters."""
    return Limit("--parameters", value, lambda student: student.parameters,
                 lambda cost: f"{cost / 1e6:.3g} M parameters")


def order_students(students: Sequence[Student]) -> list[Student]:
    """Return the best first: most multiply-adds; of equal ones the larger precision, then the more parameters.

    Within one architecture more multiply-adds mean a more accurate student as a rule. Between architectures this is a
    rough guess.
    """
    return sorted(students, key=lambda s: (-s.macs, PRECISIONS.index(s.precision), -s.parameters))


def within_limits(students: Sequence[Student], limits: Sequence[Limit]) -> list[Student]:
    """Return the students within all limits, in their order.

    Raises:
        ModelError: there is none; the message names the smallest one.
    """
    accepted = [student for student in students if all(limit.accepts(student) for limit in limits)]
    if accepted:
        return accepted
    for limit in limits:
        smallest = min(students, key=limit.cost)
        if not limit.accepts(smallest):
            raise ModelError(f"no student of the grid has at most {limit.describe(limit.value)}: the smallest is "
                             f"{name_student(smallest)} with {limit.describe(limit.cost(smallest))}; give a larger "
                             f"{limit.option}")
    smallest = min(students, key=lambda student: student.bytes)
    costs = ", ".join(limit.describe(limit.cost(smallest)) for limit in limits)
    options = " and ".join(limit.option for limit in limits)
    raise ModelError(f"no student of the grid is within {options} at once: the smallest file, "
                     f"{name_student(smallest)}, has {costs}; give a larger value to one of them")


def name_student(student: Student) -> str:
    """Return a student in words: architecture, input size, precision and length of the embedding."""
    return f"{student.title} at {student.size} px in {student.precision}, {student.embedding}-d"
