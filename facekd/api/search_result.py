"""The result of ``facekd search``: reading it, its picture, and the commands that train its students."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from facekd.errors import DataError, ModelError
from facekd.io import files
from facekd.io.records import Count, PositiveCount, Record
from facekd.models.architectures.resnet_pruned import Layout
from facekd.reporting.plots.search import search_picture
from facekd.text import path_text

VERSION = 2
RESULT_FILE = "search.json"
TEACHER = "teacher"
"""Name of the teacher among the students of a result, which are otherwise `SEARCHED` and the controls."""
SEARCHED = "searched"
"""Name of the student that the search selected."""


def _check_plan(plan: str) -> str:
    try:
        return str(Layout.parse(plan))
    except ModelError as error:
        raise ValueError(str(error)) from None


class Student(Record):
    """A subgraph of the teacher: its plan and its costs."""

    plan: Annotated[str, AfterValidator(_check_plan)]
    macs: float
    parameters: float
    latency: float | None = None


class Teacher(Record):
    """The run of the teacher, and the description of its network."""

    model_config = ConfigDict(extra="allow")  # a description in a search may have further keys of the registry

    run: str
    sha256: str
    name: str
    size: PositiveCount
    outputs: PositiveCount
    normalization: Annotated[str, Field(pattern=r"^\w+$")]


class SearchResult(Record):
    """The content of ``search.json``."""

    teacher: Teacher
    closed_set: bool
    cost: Literal["macs", "parameters", "latency"]
    runtime: Literal["torch", "onnxruntime"] | None
    budget: float
    reached: float
    threshold: float
    seed: Count
    history: list[dict[str, float]]
    students: dict[Annotated[str, Field(pattern=r"^[a-z]+(_[0-9]+)?$")], Student]

    @model_validator(mode="after")
    def _check_students(self) -> SearchResult:
        layouts = [Layout.parse(self.students[name].plan) for name in (TEACHER, SEARCHED) if name in self.students]
        if len(layouts) < 2:
            raise ValueError(f"'students' needs '{TEACHER}' and '{SEARCHED}'")
        first, second = ([len(inner) for inner in layout.inner] for layout in layouts)
        if first != second:
            raise ValueError(f"'students': '{SEARCHED}' has other blocks than '{TEACHER}'")
        return self


def read_search(out: Path | str) -> SearchResult:
    """Return the result of a finished search.

    Args:
        out: the run folder of the search.

    Raises:
        DataError: the folder has no finished search, or its result is damaged.
    """
    file = Path(out) / RESULT_FILE
    if not os.path.isfile(file):
        raise DataError(f"{path_text(file)} does not exist; run 'facekd search TEACHER {path_text(out)}' to its end "
                        "first")
    return files.read_versioned(file, "search", VERSION, DataError, schema=SearchResult,
                                remedy="search again in a new folder")


def list_students(out: Path | str) -> dict[str, str]:
    """Return the plans of the searched student and its controls by name, each the value of ``student.options.plan``.

    Raises:
        DataError: the folder has no finished search.
    """
    students = read_search(out).students
    return {name: student.plan for name, student in students.items() if name != TEACHER}


def distill_commands(out: Path | str) -> list[str]:
    """Return the command lines that train the searched student and its controls.

    Raises:
        DataError: the folder has no finished search.
    """
    result = read_search(out)
    teacher = result.teacher
    outputs = "head.name=softmax" if result.closed_set else f"student.embedding={teacher.outputs}"
    student = f"student.size={teacher.size} student.normalization={teacher.normalization} student.name=resnet_pruned"
    return [f"facekd distill DATASET PLAN runs/{name} {outputs} {student} student.options.plan={plan}"
            for name, plan in list_students(out).items()]


def draw_search(out: Path | str) -> Path:
    """Draw the teacher and the searched student layer by layer, as ``search.svg`` in the folder of the search.

    Raises:
        DataError: the folder has no finished search.
    """
    result = read_search(out)
    teacher, student = (Layout.parse(result.students[name].plan) for name in (TEACHER, SEARCHED))
    divisor, unit = {"macs": (1e6, "million multiply-adds"), "parameters": (1e6, "million parameters"),
                     "latency": (1, f"ms on {result.runtime}")}[result.cost]
    costs = f"{result.reached / divisor:.3g} of at most {result.budget / divisor:.3g} {unit}"
    title = f"{result.teacher.name} and the student found in it: {costs}"
    picture = Path(out) / "search.svg"
    files.write_text(picture, search_picture(teacher, student, title))
    return picture
