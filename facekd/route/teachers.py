"""The one source of teachers: a route's points, live or from the cache."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from facekd import distributed as ranks
from facekd.data.image_set import Fingerprint
from facekd.data.loading.loader import Loader
from facekd.errors import RouteError
from facekd.models.registry import Network, build
from facekd.models.weights import load_model
from facekd.route.cache import CachedTeacher, Kind, Values, read_slot, slot_file, write_slot
from facekd.route.route import Route
from facekd.route.teacher import LiveTeacher, MeanTeacher, Teacher, live_teacher
from facekd.training.machine import Machine


class Anchors:
    """Gives the teachers of a route's points.

    Args:
        route: where the points lie; caches lie beside them.
        loader: of the images they are asked about, at the student's size.
        fingerprint: of these images.
        kind: how outputs are kept, or ``off`` for live teachers.
        machine: where live teachers run.
        inside: whether their answers hold intermediate maps and features; these are never cached.
        taps: where the maps are taken, see `facekd.models.feature_extractor.Tapped`.
    """

    def __init__(self, route: Route, loader: Loader, fingerprint: Fingerprint, kind: Kind | Literal["off"],
                 machine: Machine, inside: bool = False, taps: Sequence[str] = ()) -> None:
        self.route, self.loader, self.fingerprint, self.kind = route, loader, fingerprint, kind
        self.machine, self.inside, self.taps = machine, inside, taps

    def teacher(self, points: Sequence[int]) -> Teacher:
        """The teacher a stage follows: one point, or the mean of several.

        Raises:
            RouteError: a point is missing or damaged, or cannot see the student's images.
        """
        if self.inside and len(points) > 1:
            raise RouteError(
                "maps and features of several points have no meaningful mean; a loss that looks at them follows one "
                "point a stage: use another plan, or set its weight to 0"
            )
        teachers = [self._live(p) if self.kind == "off" or self.inside else self._cached(p) for p in points]
        return teachers[0] if len(teachers) == 1 else MeanTeacher(teachers)

    def network(self, point: int, fresh: bool = False) -> Network:
        """A point's network, to be trained on: with the point's weights, or fresh ones in the same architecture.

        Raises:
            RouteError: the point is missing or damaged, no network of ours, or of another size than the student's.
        """
        spec, file = self.route.spec, self.route.point_file(point)
        if spec is None:
            raise RouteError(f"{file} is an ONNX file, which cannot be trained; import checkpoints of its network")
        if spec.size != self.loader.size:
            raise RouteError(f"the teacher takes {spec.size} px and the student {self.loader.size} px; "
                             "both are trained on the same images: use a student of the teacher's size")
        return build(spec) if fresh else load_model(file)

    def outputs(self, point: int, slot: int = 0) -> Values:
        """A point's outputs for one version of every image, [images, dimension], memory-mapped; computed once.

        Raises:
            RouteError: as ``teacher``.
        """
        return read_slot(self._slot_file(point, slot))

    def _cached(self, point: int) -> Teacher:
        about = self.route.spec
        if about is None:  # an imported ONNX must be opened to be asked
            teacher = self._live(point)
            size, dimension = teacher.size, teacher.dimension
        else:
            size, dimension = about.size, about.outputs
        self._check_size(size)  # also where a cache is there: it may be of crops made at the teacher's size
        beside = self.loader.augmentation.beside
        return CachedTeacher(dimension, lambda slot: self._slot_file(point, slot), beside)

    def _slot_file(self, point: int, slot: int) -> Path:
        anchor, kind = self.route.points[point].sha256, "float16" if self.kind == "off" else self.kind
        versions = self.loader.augmentation.key
        file = slot_file(self.route.folder / "cache", anchor, self.fingerprint, versions, slot, kind)
        if not ranks.told(file.exists):
            teacher = self._live(point)
            loader = self._loader_for(teacher)
            if ranks.leads() or loader.place[1] > 1:
                write_slot(teacher, loader, slot, file, kind, self.machine.device)
            ranks.wait()
        return file

    def _live(self, point: int) -> LiveTeacher:
        file = self.route.point_file(point)
        # What is computed once is computed in full precision.
        dtype = {"dtype": self.machine.dtype} if self.kind == "off" or self.inside else {}
        teacher = live_teacher(file, self.machine.device, inside=self.inside, taps=self.taps, **dtype)
        if teacher.size != self.loader.size and (self.kind == "off" or self.inside):
            remedy = "a loss that does not look inside" if self.inside else "cache=float16"
            raise RouteError(
                f"the teacher {file} takes {teacher.size} px and the student {self.loader.size} px; "
                f"a live teacher sees the student's images: use {remedy}, or a student of the teacher's size"
            )
        return teacher

    def _loader_for(self, teacher: LiveTeacher) -> Loader:
        own = self.loader
        if teacher.size == own.size:
            return own
        self._check_size(teacher.size)
        return Loader(own.images, teacher.size, own.batch, 0, own.augmentation, own.memory, self.machine.device,
                      own.place, bad=own.bad)

    def _check_size(self, size: int) -> None:
        if size != self.loader.size and not self.loader.augmentation.scales:
            raise RouteError(
                f"the teacher takes {size} px and the student {self.loader.size} px; crops shifted by whole pixels "
                "differ between sizes: use data.views.kind=flip or resized-crop, or a student of the teacher's size"
            )
