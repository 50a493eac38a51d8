"""The last step of a compression: the figures of all files, the file to ship, and the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from facekd.api.compress.choice import Budget, Choice
from facekd.api.compress.job import Job
from facekd.api.compress.measurement import Measurement
from facekd.deploy.package import read_package
from facekd.reporting.compression import CompressedModel, CompressionReport, write_compression_report


@dataclass(frozen=True)
class Conclusion:
    """The result of a compression.

    Attributes:
        answer: the sentences that say what to ship, and what it loses.
        model: the file to ship.
        models: all measured files, those of the teacher first.
        meets_budget: whether the file to ship is within the budget.
        package: the package that holds the file to ship.
        report: the page.
    """

    answer: str
    model: CompressedModel
    models: tuple[CompressedModel, ...]
    meets_budget: bool
    package: Path
    report: Path


def measure_files(job: Job, package: Path, network: str) -> list[CompressedModel]:
    """Return the measured files of a package; none if it was not made."""
    return [*_measurement(job).measure_package(read_package(package), network)] if package.is_dir() else []


def conclude(job: Job, choice: Choice, teacher: Sequence[CompressedModel]) -> Conclusion:
    """Measure the student's files, choose the one to ship and write the report.

    Args:
        job: the compression.
        choice: the network to ship.
        teacher: the measured files of the teacher.
    """
    measurement = _measurement(job)
    package = job.teacher_package
    models = [*teacher]
    if choice.kind == "teacher":
        best = next(model for model in models if model.precision == choice.precision)
    else:
        package = job.student_package
        students = measure_files(job, package, "student")
        models += students
        best = choose_file(students, job.budget)
    shipped = measurement.measure_mixed(best)
    models = [shipped if model == best else model for model in models]
    answer = f"{describe(shipped, job.budget)} {choice.reason[0].upper()}{choice.reason[1:]}."
    sheet = measurement.sheet(shipped)
    write_compression_report(
        CompressionReport(str(job.given), answer, models, _step_rows(job), _notes(models), job.budget.bytes),
        job.report, sheet.read_bytes() if sheet.is_file() else None)
    return Conclusion(answer, shipped, tuple(models), job.budget.is_met_by(shipped), package, job.report)


def choose_file(models: list[CompressedModel], budget: Budget) -> CompressedModel:
    """Return the file that is nearest to the teacher among those within the budget; else the smallest one."""
    fitting = [model for model in models if budget.is_met_by(model)]
    if not fitting:
        return min(models, key=lambda model: model.bytes)
    return max(fitting, key=lambda model: (round(model.cosine or 0, 3), -model.bytes))


def describe(model: CompressedModel, budget: Budget) -> str:
    """Return what a file is, whether it meets the budget, and what it loses."""
    costs = [f"{model.bytes / 1e6:.2f} MB", f"{model.macs / 1e6:.1f} M multiply-adds"]
    if model.milliseconds is not None:
        costs.append(f"{model.milliseconds:.1f} ms here")
    text = f"Ship {model.file}: {', '.join(costs)}"
    if not budget.is_met_by(model):
        text += ", which misses the budget"
    if model.cosine is not None:
        text += f"; mean cosine to the teacher {model.cosine:.3f} on held-out crops"
    if model.accuracy is not None:
        text += f"; accuracy {model.accuracy:.2%}"
    return f"{text}."


def _measurement(job: Job) -> Measurement:
    return Measurement(job.teacher, job.held_out_faces, job.pairs, job.images, job.results, job.device)


def _step_rows(job: Job) -> list[tuple[str, str, float]]:
    return [(step.name, step.command, step.seconds) for step in job.steps.steps]


def _notes(models: list[CompressedModel]) -> list[str]:
    thresholds = dict.fromkeys(model.differ_at for model in models if model.differ_at)
    return [f"Decided differently: at the teacher's threshold, {threshold}." for threshold in thresholds]
