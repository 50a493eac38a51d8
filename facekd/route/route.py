"""The route: what a teacher passed through while it was trained, append-only, one safetensors file a point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from facekd.errors import RouteError
from facekd.models.registry import ModelSpec, Network
from facekd.models.weights import save_model
from facekd.utils import files

VERSION = 1


@dataclass(frozen=True)
class Point:
    """One recorded state of the teacher.

    Attributes:
        step: training steps done.
        epoch: training epochs done.
        learning_rate: of the step just before.
        reason: why it was recorded: ``epoch``, ``before drop``, ``last`` or ``imported``.
        file: the weights, beside ``route.json``: ``.safetensors``, or ``.onnx`` for an imported live teacher.
        sha256: of that file.
        metrics: what the training measured there (loss, accuracy under the margin).
    """

    step: int
    epoch: float
    learning_rate: float
    reason: str
    file: str
    sha256: str
    metrics: Mapping[str, float] = field(default_factory=dict)


class Route:
    """A folder with ``route.json`` and its points.

    Attributes:
        folder: where it lies.
        spec: the teacher's description; None for an imported ONNX.
        points: in the order they were passed.
    """

    def __init__(self, folder: Path, spec: ModelSpec | None, points: Sequence[Point] = ()) -> None:
        self.folder, self.spec, self.points = folder, spec, list(points)

    @classmethod
    def open(cls, path: Path | str) -> Route:
        """Open a route: its folder, its ``route.json``, or the run folder that holds it.

        Raises:
            RouteError: there is none, or it is damaged.
        """
        path = Path(path)
        candidates = [path] if path.is_file() else [path / "route.json", path / "route" / "route.json"]
        file = next((c for c in candidates if c.is_file()), None)
        if file is None:
            raise RouteError(
                f"{path} holds no route.json; give a run of 'facekd teach' or a folder made by 'facekd route import'"
            )
        content = files.read_versioned(file, "route", VERSION, RouteError)
        try:
            spec = ModelSpec.from_dict(content["model"]) if content["model"] else None
            return cls(file.parent, spec, [Point(**point) for point in content["points"]])
        except (KeyError, TypeError) as error:
            raise RouteError(f"{file} is damaged ({error}); restore it or record the route again") from error

    def point_file(self, number: int) -> Path:
        """The weights of a point, checked against the route's checksum.

        Args:
            number: position in ``points``, from 0.

        Raises:
            RouteError: no such point, its file is missing, or the file is not the one recorded.
        """
        if not 0 <= number < len(self.points):
            raise RouteError(
                f"the route {self.folder} has no point {number}; it has {len(self.points)}, numbered from 0"
            )
        point = self.points[number]
        file = self.folder / point.file
        if not file.is_file():
            raise RouteError(f"{file} is missing (point {number} of the route); restore it, or plan without this point")
        if files.sha256(file) != point.sha256:
            raise RouteError(
                f"{file} is not the file that was recorded (its checksum differs); "
                "restore it, or plan without this point"
            )
        return file

    def record(self, model: Network, step: int, epoch: float, learning_rate: float, reason: str,
               metrics: Mapping[str, float]) -> None:
        """Append the teacher's present state; a step that is recorded already (a resumed run) is left as it is.

        The weights are written before ``route.json`` names them: killed in between, the route stays valid.

        Raises:
            SetupError: the disk is full; the route stays as it was.
        """
        if any(point.step == step for point in self.points):
            return
        file = self.folder / f"point-{step:08d}.safetensors"
        save_model(model, file)
        self.append(Point(step, round(epoch, 4), learning_rate, reason, file.name, files.sha256(file), dict(metrics)))

    def append(self, point: Point) -> None:
        """Append a point whose file is in place, and write ``route.json``."""
        self.points.append(point)
        self.write()

    def write(self) -> None:
        """Write ``route.json``."""
        content: dict[str, Any] = {
            "model": self.spec.to_dict() if self.spec else None,
            "points": [asdict(point) for point in self.points],
        }
        files.write_versioned(self.folder / "route.json", "route", VERSION, content)
