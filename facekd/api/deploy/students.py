"""``facekd students``: the networks that can be students, with their costs, and the best one within limits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from facekd.deploy.students.grid import Student, list_students
from facekd.deploy.students.limits import bytes_limit, macs_limit, order_students, parameters_limit, within_limits
from facekd.deploy.students.option_help import describe_model as describe_model
from facekd.deploy.students.option_help import list_options as list_options
from facekd.errors import OptionError
from facekd.utils.quantities import parse_bytes, parse_count, parse_milliseconds

DEFAULT_EMBEDDING = 512
DEFAULT_LIMIT = 20


def students(*, budget: str | None = None, macs: str | None = None, parameters: str | None = None,
             latency: str | None = None, measure: bool = False, embedding: int | None = None,
             teacher: Path | str | None = None, architectures: Sequence[str] = (), widths: Sequence[float] = (),
             sizes: Sequence[int] = (), precisions: Sequence[str] = (), limit: int | None = None) -> list[Student]:
    """Return the students of the grid within all limits, the best first: that with the most multiply-adds.

    Nothing is trained. Only ``latency`` and ``measure`` run networks, see `measure_students`.

    Args:
        budget: the largest ONNX file, e.g. ``1MB`` (10^6 bytes) or ``0.5MiB``.
        macs: the most multiply-adds for one image, e.g. ``100M``.
        parameters: the most parameters, e.g. ``1M``.
        latency: the largest median latency of one image on one thread of this machine, e.g. ``5ms``.
        measure: whether to measure the latency of the students that are returned.
        embedding: length of the embedding; by default that of the teacher, else 512.
        teacher: a model whose embedding length the students get.
        architectures: names of architectures; by default all of the grid.
        widths: multipliers of the channels; by default those of the grid.
        sizes: sides of the input in pixels; by default 112, 96, 80 and 64.
        precisions: ``fp32``, ``fp16``, ``int8``; by default all.
        limit: the largest number of students; by default all, and 20 if the latency is measured.

    Raises:
        OptionError: an argument cannot be used.
        ModelError: no student is within the limits (the message names the smallest one), or the teacher cannot be
            loaded.
    """
    if limit is not None and limit < 1:
        raise OptionError(f"the number of students is at least 1, not {limit}")
    max_milliseconds = None if latency is None else parse_milliseconds(latency, "--latency")
    limits = [
        *([] if budget is None else [bytes_limit(parse_bytes(budget, "--budget"))]),
        *([] if macs is None else [macs_limit(parse_count(macs, "--macs"))]),
        *([] if parameters is None else [parameters_limit(parse_count(parameters, "--parameters"))]),
    ]
    grid = list_students(_embedding_length(embedding, teacher), architectures=architectures, widths=widths, sizes=sizes,
                         precisions=precisions)
    chosen = within_limits(order_students(list(grid)), limits)
    if max_milliseconds is None and not measure:
        return chosen[:limit]

    from facekd.deploy.students.latency import measure_students, students_within, warn_if_busy  # imports ONNX Runtime

    warn_if_busy()
    if max_milliseconds is not None:
        return students_within(chosen, max_milliseconds, limit or DEFAULT_LIMIT)
    return measure_students(chosen[: limit or DEFAULT_LIMIT])


def choose_student(*, budget: str | None = None, macs: str | None = None, parameters: str | None = None,
                   latency: str | None = None, embedding: int | None = None, teacher: Path | str | None = None,
                   architectures: Sequence[str] = (), widths: Sequence[float] = (), sizes: Sequence[int] = (),
                   precisions: Sequence[str] = ()) -> Student:
    """Return the best student within the limits; ``Student.overrides`` are the keys of its recipe. See `students`.

    Raises:
        OptionError: see `students`.
        ModelError: see `students`.
    """
    best, *_ = students(budget=budget, macs=macs, parameters=parameters, latency=latency, embedding=embedding,
                        teacher=teacher, architectures=architectures, widths=widths, sizes=sizes,
                        precisions=precisions, limit=1)
    return best


def _embedding_length(embedding: int | None, teacher: Path | str | None) -> int:
    if embedding is not None and teacher is not None:
        raise OptionError("--embedding and --teacher both set the length of the embedding; leave one of them out")
    if teacher is not None:
        from facekd.models.loading import load  # imports ONNX Runtime, a second

        return load(teacher).dimension
    return DEFAULT_EMBEDDING if embedding is None else embedding
