"""What all steps of a compression know: its inputs, its folder, and the record of its steps."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from facekd.api.compress.choice import Budget
from facekd.api.compress.steps import StepLog
from facekd.api.compress.teacher import Teacher


@dataclass(frozen=True)
class Job:
    """One compression.

    Attributes:
        teacher: the teacher.
        given: the path of the teacher that the user gave.
        out: the folder of the compression.
        steps: runs and records the steps.
        budget: what the shipped file may cost.
        detector: the face detector; None for that of the teacher's folder or ``$FACEKD_DETECTOR``.
        pairs: a pair list on which every file is verified, if there is one.
        images: the root folder of its paths.
        device: the device for teacher, training and evaluation.
        seed: seed of the training.
    """

    teacher: Teacher
    given: Path
    out: Path
    steps: StepLog
    budget: Budget
    detector: Path | None
    pairs: Path | None
    images: Path | None
    device: str
    seed: int

    @property
    def train_faces(self) -> Path:
        """The crops to train on."""
        return self.out / "faces" / "train"

    @property
    def held_out_faces(self) -> Path:
        """The crops on which student and teacher are compared."""
        return self.out / "faces" / "held-out"

    @property
    def plan(self) -> Path:
        """The plan that the student follows."""
        return self.out / "plan.json"

    @property
    def student(self) -> Path:
        """The run of the student."""
        return self.out / "student"

    @property
    def student_package(self) -> Path:
        """The package of the student."""
        return self.out / "package"

    @property
    def teacher_package(self) -> Path:
        """The package of the teacher in all precisions."""
        return self.out / "teacher-package"

    @property
    def results(self) -> Path:
        """The folder of the results against the teacher."""
        return self.out / "results"

    @property
    def report(self) -> Path:
        """The page with the answer."""
        return self.out / "report.html"
