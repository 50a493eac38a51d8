"""``facekd compress``: from a teacher and photographs without labels to a package for the phone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from typing_extensions import Unpack

from facekd.api.compress.choice import Budget, choose_network
from facekd.api.compress.conclusion import Conclusion, conclude, measure_files
from facekd.api.compress.faces import prepare_faces
from facekd.api.compress.job import Job
from facekd.api.compress.packages import export_student, prepare_teacher
from facekd.api.compress.steps import StepLog
from facekd.api.compress.teacher import open_teacher
from facekd.api.compress.training import train
from facekd.errors import DataError
from facekd.io.locks import lock_output
from facekd.io.outputs import check_writable
from facekd.models.input_format import InputOptions


def compress(teacher: Path | str, photos: Path | str | Sequence[Path | str], out: Path | str, *,
             budget: str | None = None, macs: str | None = None, latency: str | None = None,
             epochs: float | None = None, minutes: float | None = None,
             detector: Path | str | None = None, aligned: bool | None = None, pairs: Path | str | None = None,
             images: Path | str | None = None, device: str = "auto", seed: int = 0,
             **options: Unpack[InputOptions]) -> Conclusion:
    """Make a smaller model that answers in the space of a teacher, from photographs without labels.

    The cheapest way that meets the budget is taken: a file of the teacher in a smaller precision; a part of the teacher
    with its own weights, distilled; a fresh student, distilled, along the teacher's route if it has one. All steps are
    commands of facekd, which ``compress.json`` and the report name with their times. The same call continues.

    Args:
        teacher: an ``.onnx``, a run folder, or a folder of InsightFace's models, whose detector is used as well.
        photos: photographs, or aligned crops: folders, lists of paths or packed sets; labels are not used.
        out: the folder of the compression.
        budget: the largest file, e.g. ``600kB``; by default ``1MB`` if no other limit is given.
        macs: the most multiply-adds for one face, e.g. ``100M``.
        latency: the longest time for one face on one thread of this machine, e.g. ``5ms``.
        epochs: passes over the crops; by default as many as show the student 300,000 images.
        minutes: the time for the training in place of ``epochs``; the speed is measured before.
        detector: the face detector for photographs; default ``$FACEKD_DETECTOR``.
        aligned: whether the photos are aligned crops; by default square images of one size up to 160 px are.
        pairs: a pair list on which every file is verified.
        images: the root folder of its paths.
        device: the device for teacher, training and evaluation.
        seed: seed of the training.
        options: how an ONNX teacher is fed, see `InputOptions`.

    Raises:
        DataError: there are too few usable faces, or pairs or photos cannot be used.
        ModelError: the teacher cannot be loaded, or no student meets the budget.
        ExportError: an exported file is refused.
        SetupError: the folder holds another compression, cannot be written, or another process writes it.
    """
    if epochs is not None and minutes is not None:
        raise DataError("--epochs and --minutes both bound the training; give one of them")
    if not (epochs is None or epochs > 0) or not (minutes is None or minutes > 0):
        raise DataError("--epochs and --minutes are numbers above 0; give more, or leave them out")
    if images is not None and pairs is None:
        raise DataError("--images is the folder of the paths of --pairs; give the pair list as well, or leave it out")
    sources = [photos] if isinstance(photos, (str, Path)) else [*photos]
    limits = Budget.parse(budget, macs, latency)
    check_writable(out, folder=True)
    with lock_output(out):
        source = open_teacher(Path(teacher), options, device)
        request = {
            "teacher": source.fingerprint, "photos": [str(path) for path in sources], "aligned": aligned,
            "budget": asdict(limits), "epochs": epochs, "minutes": minutes, "seed": seed,
            "pairs": None if pairs is None else str(pairs),
        }
        job = Job(
            teacher=source, given=Path(teacher), out=Path(out), steps=StepLog(Path(out), request), budget=limits,
            detector=Path(detector) if detector else None, pairs=Path(pairs) if pairs else None,
            images=Path(images) if images else None, device=device, seed=seed)
        prepare_faces(job, [Path(path) for path in sources], aligned)
        prepare_teacher(job)
        teacher_files = measure_files(job, job.teacher_package, "teacher")
        choice = choose_network(teacher_files, source.problem, limits)
        if choice.kind != "teacher":
            train(job, choice, epochs, minutes)
            export_student(job)
        return conclude(job, choice, teacher_files)
