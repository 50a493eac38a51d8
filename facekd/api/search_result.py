"""The result of ``facekd search``: reading it, its picture, and the commands that train its students."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from facekd.errors import DataError
from facekd.models.architectures.resnet_pruned import Layout
from facekd.reporting.plots.search import search_picture
from facekd.utils import files

VERSION = 2
RESULT_FILE = "search.json"
TEACHER = "teacher"
"""Name of the teacher among the students of a result, which are otherwise `SEARCHED` and the controls."""
SEARCHED = "searched"
"""Name of the student that the search selected."""


def read_search(out: Path | str) -> dict[str, Any]:
    """Return the result of a finished search.

    Args:
        out: the run folder of the search.

    Raises:
        DataError: the folder has no finished search.
    """
    file = Path(out) / RESULT_FILE
    if not file.exists():
        raise DataError(f"{file} does not exist; run 'facekd search TEACHER {out}' to its end first")
    return files.read_versioned(file, "search", VERSION, DataError, remedy="search again in a new folder")


def list_students(out: Path | str) -> dict[str, str]:
    """Return the plans of the searched student and its controls by name, each the value of ``student.options.plan``.

    Raises:
        DataError: the folder has no finished search.
    """
    students = read_search(out)["students"]
    return {name: student["plan"] for name, student in students.items() if name != TEACHER}


def distill_commands(out: Path | str) -> list[str]:
    """Return the command lines that train the searched student and its controls.

    Raises:
        DataError: the folder has no finished search.
    """
    result = read_search(out)
    spec = result["teacher"]
    outputs = "head.name=softmax" if result["closed_set"] else f"student.embedding={spec['outputs']}"
    student = f"student.size={spec['size']} student.normalization={spec['normalization']} student.name=resnet_pruned"
    return [f"facekd distill DATASET PLAN runs/{name} {outputs} {student} student.options.plan={plan}"
            for name, plan in list_students(out).items()]


def draw_search(out: Path | str) -> Path:
    """Draw the teacher and the searched student layer by layer, as ``search.svg`` in the folder of the search.

    Raises:
        DataError: the folder has no finished search.
    """
    result = read_search(out)
    teacher, student = (Layout.parse(result["students"][name]["plan"]) for name in (TEACHER, SEARCHED))
    divisor, unit = {"macs": (1e6, "million multiply-adds"), "parameters": (1e6, "million parameters"),
                     "latency": (1, f"ms on {result['runtime']}")}[result["cost"]]
    costs = f"{result['reached'] / divisor:.3g} of at most {result['budget'] / divisor:.3g} {unit}"
    title = f"{result['teacher']['name']} and the student found in it: {costs}"
    picture = Path(out) / "search.svg"
    files.write_text(picture, search_picture(teacher, student, title))
    return picture
