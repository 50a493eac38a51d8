"""The step of a compression that trains: a part of the teacher, or a fresh student, learns its embeddings."""

from __future__ import annotations

from facekd.api.compress.choice import Choice
from facekd.api.compress.duration import default_epochs, epochs_for_minutes, training_speed
from facekd.api.compress.job import Job
from facekd.api.compress.packages import option_words
from facekd.api.deploy.students import choose_student
from facekd.api.distill import distill
from facekd.api.prune import prune_teacher
from facekd.data.opening import open_faces
from facekd.models.registry import Network, create
from facekd.models.weights import load_model
from facekd.utils.device import resolve_device

RECIPE = ("losses.cosine=1", "training.optimizer=adamw", "training.weight_decay=0", "training.batch_size=64",
          "training.warmup_epochs=0.2", "data.augmentation.kind=flip", "data.val_fraction=0.02")
"""The recipe of every student."""
PART_RATE, STUDENT_RATE = 0.001, 0.002
"""Learning rates of a part of the teacher and of a fresh student."""


def train(job: Job, choice: Choice, epochs: float | None, minutes: float | None) -> None:
    """Make the student's first weights and distill the teacher into it.

    Args:
        job: the compression.
        choice: a part of the teacher, or a fresh student.
        epochs: passes over the crops; None for the default.
        minutes: the time for the training in place of ``epochs``.

    Raises:
        FacekdError: see `facekd.api.prune.prune_teacher` and `facekd.api.distill.distill`.
    """
    student, network = _prune(job, choice) if choice.kind == "part" else _choose(job)
    images = len(open_faces(job.train_faces))

    def planned_epochs() -> float:
        """Return the epochs that fit into the time, or the default."""
        if minutes is None:
            return default_epochs(images)
        speed = training_speed(network, network.spec.size, resolve_device(job.device))
        return epochs_for_minutes(minutes, images, speed)

    epochs = epochs or float(job.steps.decide("epochs", planned_epochs))
    rate = PART_RATE if choice.kind == "part" else STUDENT_RATE
    overrides = [*student, *RECIPE, f"training.learning_rate={rate}", f"training.epochs={epochs:g}",
                 f"machine.device={job.device}", f"seed={job.seed}"]
    job.steps.run("distill", ["facekd", "distill", job.train_faces, job.plan, job.student, *overrides],
                  job.student / "model.safetensors",
                  lambda: distill(job.train_faces, job.plan, job.student, *overrides))


def _prune(job: Job, choice: Choice) -> tuple[list[str], Network]:
    """Cut the part out of the teacher; return it as keys of a recipe, and its network."""
    pruned = job.out / "part.safetensors"
    teacher = job.teacher.model_file
    shares = ["--share", f"{choice.share:.4f}", "--weight-share", f"{choice.weight_share:.4f}",
              *option_words(job.teacher.options)]
    job.steps.run("prune", ["facekd", "prune", teacher, job.train_faces, pruned, *shares], pruned,
                  lambda: prune_teacher(teacher, job.train_faces, pruned, round(choice.share, 4),
                                        weight_share=round(choice.weight_share, 4), **job.teacher.options))
    return [f"student.weights={pruned}"], load_model(pruned)


def _choose(job: Job) -> tuple[list[str], Network]:
    """Choose a fresh student within the budget; return it as keys of a recipe, and its network."""
    budget, macs, latency = job.budget.to_texts()
    student = choose_student(budget=budget, macs=macs, latency=latency, embedding=job.teacher.dimension,
                             precisions=("int8",))
    return student.overrides, create(student.name, size=student.size, outputs=student.embedding, **student.options)
