"""The content of ``run.json``: the facts that each command writes, and those that reports read."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field

from facekd.io.records import Count, Record

TIME_FORMAT = "%Y-%m-%dT%H:%M:%S%z"


def _check_time(text: str) -> str:
    try:
        datetime.strptime(text, TIME_FORMAT)
    except (ValueError, OverflowError):
        raise ValueError("a time like 2026-01-31T12:00:00+0000 is needed") from None
    return text


Time = Annotated[str, AfterValidator(_check_time)]


class _FreeRecord(Record):
    """A record with further keys, which a run may add."""

    model_config = ConfigDict(extra="allow")


class DatasetInfo(_FreeRecord):
    """The fingerprint of the training set, see `facekd.data.image_set.Fingerprint`."""

    content: str
    classes: Count
    images: Count


class ModelInfo(_FreeRecord):
    """The description of the network, see `facekd.models.registry.ModelSpec`."""

    name: str
    size: Count | None = None
    outputs: Count | None = None
    options: dict[str, Any] = Field(default_factory=dict)


class HardwareInfo(_FreeRecord):
    """The machine, see `facekd.utils.environment.hardware`."""

    label: str


class TeacherInfo(_FreeRecord):
    """The teacher of a student, see `facekd.route.route.Route.describe_teacher`."""

    name: str
    sha256: str
    license: str


class AnchorInfo(_FreeRecord):
    """A stage of a student's plan."""

    point: str
    epoch: float
    learning_rate: float
    share: float
    stage_reason: str


class TeacherFitInfo(_FreeRecord):
    """How close a student came to its teacher, see `facekd.methods.teacher_fit.TeacherFit`."""

    training: float
    held_out: float | None = None
    held_out_images: Count = 0
    verdict: str = ""
    sentence: str = ""


class CompatibleInfo(_FreeRecord):
    """The teacher in whose space a student answers, see `facekd.methods.compatibility.compatible_with`."""

    name: str
    sha256: str
    dimension: Count


class RunInfo(_FreeRecord):
    """The content of ``run.json``; the facts of a command may come on top."""

    command: Literal["train", "distill", "search"]
    outcome: Literal["running", "finished"]
    started: Time
    finished: Time | None = None
    versions: dict[str, str | None] = Field(default_factory=dict)
    git: str | None = None
    hardware: HardwareInfo | None = None
    command_line: str = ""
    dataset: DatasetInfo | None = None
    model: ModelInfo | None = None
    parameters: Count | None = None
    macs: Count | None = None
    losses: str | None = None
    strategy: str | None = None
    anchors: list[AnchorInfo] = Field(default_factory=list)
    followed_anchors: list[AnchorInfo] = Field(default_factory=list)
    teacher: TeacherInfo | None = None
    student_weights: str | None = None
    compatible_with: CompatibleInfo | None = None
    teacher_fit: TeacherFitInfo | None = None
    sha256: dict[str, str] = Field(default_factory=dict)
