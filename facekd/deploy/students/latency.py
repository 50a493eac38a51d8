"""The latency of students on this machine, measured with untrained weights in interleaved rounds."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Hashable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from facekd.deploy.benchmark.latency import time_interleaved
from facekd.deploy.onnx.graph import OPSET
from facekd.deploy.onnx.quantize import quantize_static_int8
from facekd.deploy.source import ExportFormat, prepare_source
from facekd.deploy.students.grid import Student
from facekd.deploy.students.limits import name_student
from facekd.deploy.suppress_output import suppress_output
from facekd.deploy.targets.onnx import to_float16
from facekd.errors import ModelError
from facekd.models.onnx_embedder import OnnxEmbedder
from facekd.models.registry import create
from facekd.utils.console import notify
from facekd.utils.environment import hardware
from facekd.utils.progress import progress_bar

ROUNDS = 30
WARMUP = 5
SURVEY_ROUNDS = 10
"""Rounds of the few students that decide which others are measured."""
MARGIN = 1.25
"""Students whose expected latency is above the limit by this factor are not measured."""
BATCH = 10
"""The smallest number of students in one measurement under a limit."""


def warn_if_busy() -> None:
    """Print a note if more processes want to run than the machine has cores."""
    load, cores = os.getloadavg()[0], hardware()["cores"]
    if load > cores:
        notify(f"the machine is busy (load {load:.1f} on {cores} cores): the times are too high, and students that are "
               "fast enough can be missed; measure again when it is idle")


def measure_students(students: Sequence[Student], rounds: int = ROUNDS) -> list[Student]:
    """Return the students with their milliseconds: the median of one image on one thread of ONNX Runtime.

    Args:
        students: any students.
        rounds: timed rounds; each runs every student in a new order.
    """
    medians = np.median(_time_students(students, rounds), axis=1).tolist()
    return [replace(student, milliseconds=median) for student, median in zip(students, medians, strict=True)]


def _time_students(students: Sequence[Student], rounds: int) -> NDArray[np.float64]:
    """Return the milliseconds of every student in every round, [students, rounds]."""
    with tempfile.TemporaryDirectory() as folder:
        embedders = []
        with progress_bar("prepare students", len(students), "files") as advance:
            for index, student in enumerate(students):
                path = Path(folder) / f"{index}.onnx"
                write_untrained(student, path)
                embedders.append(OnnxEmbedder(path, threads=1, as_written=True))
                advance(1, "")
        with progress_bar("measure students", WARMUP + rounds, "rounds") as advance:
            return time_interleaved(embedders, rounds, WARMUP, advance=advance)


def write_untrained(student: Student, path: Path) -> None:
    """Write the ONNX file of a student with untrained weights, the same ones every time.

    It has the layers of an exported file. torch's faster exporter traces it, which keeps the last batch norm apart.
    """
    size = student.size
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = create(student.name, size=size, outputs=student.embedding, **student.options)
    module = prepare_source(network, ExportFormat(), student.name).export_module(split_prelu=True)
    with suppress_output():
        torch.onnx.export(
            module, (torch.zeros(1, 3, size, size),), str(path), dynamo=False, opset_version=OPSET,
            input_names=["input"], output_names=["embedding"],
            dynamic_axes={"input": {0: "batch"}, "embedding": {0: "batch"}},
        )
    if student.precision == "fp16":
        path.write_bytes(to_float16(onnx.load(str(path))).SerializeToString())
    elif student.precision == "int8":
        crop = np.random.default_rng(0).integers(0, 256, (1, size, size, 3), dtype=np.uint8)
        quantize_static_int8(path, path, crop, ExportFormat().preprocess)


def students_within(students: Sequence[Student], milliseconds: float, limit: int) -> list[Student]:
    """Measure students until enough of them are within a latency.

    The smallest and the largest student of every series (an architecture in one precision) are measured first. A
    straight line through both tells which others can be within the limit; only these are measured, the best first. Each
    measurement corrects the lines by a common factor, because other load on the machine changes over time.

    Args:
        students: the students, the best first.
        milliseconds: the largest latency.
        limit: the number of students that are wanted.

    Returns:
        At most ``limit`` students within the latency, the best first.

    Raises:
        ModelError: none is within it.
    """
    surveyed = _survey(students)
    expected = np.array([_expected(student, surveyed) for student in students])
    times = np.full(len(students), np.nan)
    factor = 1.0
    while True:
        accepted = np.flatnonzero(times <= milliseconds)[:limit]
        wanted = accepted[-1] if len(accepted) == limit else len(students)  # only better ones can change the result
        is_candidate = np.isnan(times[:wanted]) & (expected[:wanted] * factor <= MARGIN * milliseconds)
        batch = np.flatnonzero(is_candidate)[: max(BATCH, limit)]
        if len(batch) == 0:
            break
        times[batch] = [student.milliseconds for student in measure_students([students[index] for index in batch])]
        factor = float(np.nanmedian(times / expected))
    if len(accepted) == 0:
        fastest = min(surveyed, key=lambda student: student.milliseconds or 0)
        raise ModelError(f"no student of the grid takes at most {milliseconds:g} ms here: the fastest measured one is "
                         f"{name_student(fastest)} with {fastest.milliseconds:.2g} ms; give a larger --latency")
    skipped = int(np.isnan(times[:wanted]).sum())
    notify(f"{skipped} students before the last shown one were not measured: by others of their architecture and "
           f"precision they take more than {milliseconds:g} ms")
    return [replace(students[index], milliseconds=float(times[index])) for index in accepted]


def _survey(students: Sequence[Student]) -> list[Student]:
    """Return the smallest and the largest student of every series with their fastest rounds."""
    series: dict[Hashable, list[Student]] = {}
    for student in students:
        series.setdefault(_series_key(student), []).append(student)
    ends = [end for group in series.values() for end in ([group[0], group[-1]] if len(group) > 1 else group)]
    fastest = _time_students(ends, SURVEY_ROUNDS).min(axis=1).tolist()
    return [replace(student, milliseconds=time) for student, time in zip(ends, fastest, strict=True)]


def _series_key(student: Student) -> Hashable:
    options = tuple((key, value) for key, value in student.options.items() if key != "width")
    return student.name, options, student.precision


def _expected(student: Student, measured: Sequence[Student]) -> float:
    """Return the latency on the straight line through the measured students of the series."""
    key = _series_key(student)
    points = [(other.macs, other.milliseconds or 0.0) for other in measured if _series_key(other) == key]
    (most, slow), (least, fast) = points[0], points[-1]
    return slow if most == least else fast + (slow - fast) * (student.macs - least) / (most - least)
