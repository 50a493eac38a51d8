"""The route: the recorded states of a teacher during its training, append-only, one safetensors file a point."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ConfigDict

from facekd.errors import ModelError, RouteError
from facekd.io import files
from facekd.io.records import Count, FileName, Record
from facekd.models.registry import ModelSpec, Network
from facekd.models.weights import save_model
from facekd.text import path_text

LICENSE_OF_TRAINED = "that of its training data"
"""The license of a teacher that facekd trained."""
VERSION = 2
REMEDY = "train or import the teacher again"


@dataclass(frozen=True)
class Point:
    """One recorded state of the teacher.

    Attributes:
        step: the number of completed training steps.
        epoch: the number of completed training epochs.
        learning_rate: the learning rate of the last completed step.
        reason: why the point was recorded: ``epoch``, ``interval``, ``before drop``, ``last`` or ``imported``.
        file: the name of the weight file in the route's folder: ``.safetensors``, or ``.onnx`` for an imported live
            teacher.
        sha256: the SHA-256 of that file.
        metrics: the metrics of the training at that step (loss, accuracy under the margin).
    """

    step: Count
    epoch: float
    learning_rate: float
    reason: str
    file: FileName
    sha256: str
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class ImportedFile:
    """Where an imported teacher comes from.

    Attributes:
        name: the name of its file; of several checkpoints the last one.
        sha256: the SHA-256 of that file before the import.
        license: its license as text; ``unknown`` if nobody stated it.
    """

    name: str
    sha256: str
    license: str


class _RouteRecord(Record):
    """The content of ``route.json``."""

    model_config = ConfigDict(strict=False)  # a strict model takes no mapping for a dataclass

    model: dict[str, Any] | None
    points: list[Point]
    imported_from: ImportedFile | None = None


class Route:
    """A folder with ``route.json`` and the files of its points.

    Args:
        folder: the folder of the route.
        spec: the specification of the teacher; None for an imported ONNX.
        points: the points in the order of the training.
        imported_from: where an imported teacher comes from; None for one that was trained by facekd.
    """

    def __init__(self, folder: Path, spec: ModelSpec | None, points: Sequence[Point] = (),
                 imported_from: ImportedFile | None = None) -> None:
        self.folder = folder
        self.spec = spec
        self.points = list(points)
        self.imported_from = imported_from

    @classmethod
    def open(cls, path: Path | str) -> Route:
        """Open a route by its folder, its ``route.json``, or the run folder that contains it.

        Raises:
            RouteError: there is no route, or it is damaged or of an older version.
        """
        path = Path(path)
        candidates = [path] if os.path.isfile(path) else [path / "route.json", path / "route" / "route.json"]
        # Unlike Path.is_file, this is false and no OSError for a name that no file can have.
        file = next((candidate for candidate in candidates if os.path.isfile(candidate)), None)
        if file is None:
            raise RouteError(f"{path_text(path)} holds no route.json; give a run of 'facekd train' or a folder made by "
                             "'facekd route import'")
        record = files.read_versioned(file, "route", VERSION, RouteError, schema=_RouteRecord, remedy=REMEDY)
        try:
            spec = ModelSpec.from_dict(record.model) if record.model else None
        except ModelError as error:
            raise RouteError(f"{path_text(file)} is damaged: {error}; restore it, or {REMEDY}") from error
        return cls(file.parent, spec, record.points, record.imported_from)

    def describe_teacher(self) -> dict[str, str]:
        """Return name, SHA-256 and license of the teacher, for the record of what is distilled from it.

        The SHA-256 is that of the file that was imported, or for a teacher trained by facekd that of the last point.
        """
        if self.imported_from is not None:
            return asdict(self.imported_from)
        name = self.spec.name if self.spec else self.folder.name
        return {"name": f"{name}, trained by facekd", "sha256": self.points[-1].sha256,
                "license": LICENSE_OF_TRAINED}

    def point_file(self, number: int) -> Path:
        """Return the weight file of a point after comparing it with the checksum in the route.

        Args:
            number: the position in ``points``, from 0.

        Raises:
            RouteError: the point does not exist, its file is missing, or the file differs from the recorded one.
        """
        if not 0 <= number < len(self.points):
            raise RouteError(
                f"the route {path_text(self.folder)} has no point {number}; it has {len(self.points)}, numbered from 0"
            )
        point = self.points[number]
        file = self.folder / point.file
        if not file.is_file():
            raise RouteError(f"{path_text(file)} is missing (point {number} of the route); restore it, or plan without "
                             "this point")
        if files.sha256(file) != point.sha256:
            raise RouteError(
                f"{path_text(file)} is not the file that was recorded (its checksum differs); "
                "restore it, or plan without this point"
            )
        return file

    def record(self, model: Network, step: int, epoch: float, learning_rate: float, reason: str,
               metrics: Mapping[str, float]) -> None:
        """Append the current state of the teacher; a step that is already recorded (by a resumed run) stays unchanged.

        The weights are written before ``route.json`` refers to them: a kill in between leaves a valid route.

        Raises:
            SetupError: the disk is full; the route is unchanged.
        """
        if any(point.step == step for point in self.points):
            return
        file = self.folder / f"point-{step:08d}.safetensors"
        save_model(model, file)
        self.append(Point(step, round(epoch, 4), learning_rate, reason, file.name, files.sha256(file), dict(metrics)))

    def append(self, point: Point) -> None:
        """Append a point whose file exists, and write ``route.json``."""
        self.points.append(point)
        self.write()

    def write(self) -> None:
        """Write ``route.json`` atomically."""
        content: dict[str, Any] = {
            "model": self.spec.to_dict() if self.spec else None,
            "points": [asdict(point) for point in self.points],
            "imported_from": asdict(self.imported_from) if self.imported_from else None,
        }
        files.write_versioned(self.folder / "route.json", "route", VERSION, content)
