"""The steps of a compression that make a route and a plan of the teacher, and the packages of teacher and student."""

from __future__ import annotations

from pathlib import Path

from facekd.api.compress.job import Job
from facekd.api.deploy.export import export
from facekd.api.import_route import import_route
from facekd.api.plan import plan
from facekd.models.input_format import InputOptions

ANCHORS = 4
"""Anchors along the route of a teacher that recorded one."""
NO_REFUSAL = "accuracy=100"
"""The gate of all exports: no file is refused, because the report shows what each one loses."""


def prepare_teacher(job: Job) -> None:
    """Make a route and a plan of the teacher, and write its files in all precisions if its graph allows that."""
    teacher = job.teacher
    route = job.given if teacher.has_route else job.out / "teacher"
    if not teacher.has_route:
        job.steps.run("import the teacher", ["facekd", "route", "import", teacher.model, route,
                                             *option_words(teacher.given_options)], route / "route.json",
                      lambda: import_route([teacher.model], route, images=job.train_faces, **teacher.given_options))
    strategy, anchors = ("progress", ANCHORS) if teacher.has_route else ("final", 1)
    job.steps.run("plan", ["facekd", "plan", route, job.plan, "--strategy", strategy, "--anchors", str(anchors)],
                  job.plan, lambda: plan(route, job.plan, strategy=strategy, anchors=anchors))
    if not teacher.problem:
        _export(job, teacher.model, job.teacher_package, "teacher", teacher.options)


def export_student(job: Job) -> None:
    """Write the student's files in all precisions."""
    _export(job, job.student, job.student_package, "student", {})


def option_words(options: InputOptions) -> list[str]:
    """Return how an ONNX file is fed as words of a command."""
    return [word for name, value in options.items() if value is not None for word in (f"--{name}", str(value))]


def _export(job: Job, model: Path, package: Path, name: str, options: InputOptions) -> None:
    command: list[str | Path] = ["facekd", "export", model, package, "--name", name, "--calibration", job.train_faces]
    command += option_words(options)
    gates = [NO_REFUSAL] if job.pairs else []
    if job.pairs:
        command += ["--pairs", job.pairs, "--gate", NO_REFUSAL]
    if job.images:
        command += ["--images", job.images]
    job.steps.run(f"export the {name}", command, package,
                  lambda: export(model, package, name=name, calibration=job.train_faces, pairs=job.pairs,
                                 images=job.images, gates=gates, **options))
