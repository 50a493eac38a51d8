"""The teachers of a route: its points as live or cached teachers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from facekd.data.image_set import DatasetFingerprint
from facekd.data.loading.loader import Loader
from facekd.distributed import barrier, is_main_process, run_on_main_and_broadcast
from facekd.errors import RouteError
from facekd.io.locks import lock_output
from facekd.models.registry import Network, build
from facekd.models.weights import load_model
from facekd.route.cache import CachedOutputs, CachedTeacher, CacheDtype, is_intact, read_slot, slot_path, write_slot
from facekd.route.route import Route
from facekd.route.teacher import LiveTeacher, MeanTeacher, RotatedTeacher, Teacher, load_live_teacher
from facekd.text import path_text
from facekd.training.machine import Machine
from facekd.utils.console import notify


class AnchorTeachers:
    """Provides the teachers of a route's points.

    Args:
        route: the route; its folder contains the cache.
        loader: the loader of the images that the student sees, at the student's input size.
        fingerprint: the fingerprint of these images.
        cache_dtype: the type of the cached outputs, or ``off`` for live teachers.
        machine: the machine of live teachers.
        with_features: whether outputs include feature maps and features; such teachers are never cached.
        feature_layers: the modules whose outputs are the feature maps, see
            `facekd.models.feature_extractor.FeatureExtractor`.
        rotations: the rotations of the embeddings of some points, see `facekd.route.plan.Plan`. They are applied to the
            teachers, not to the cache, which plans share.
    """

    def __init__(self, route: Route, loader: Loader, fingerprint: DatasetFingerprint,
                 cache_dtype: CacheDtype | Literal["off"], machine: Machine, *, with_features: bool = False,
                 feature_layers: Sequence[str] = (), rotations: Mapping[int, NDArray[np.float32]] | None = None
                 ) -> None:
        self.route = route
        self.loader = loader
        self.fingerprint = fingerprint
        self.cache_dtype = cache_dtype
        self.machine = machine
        self.with_features = with_features
        self.feature_layers = feature_layers
        self._intact_files: set[Path] = set()
        self.rotations = rotations or {}

    def teacher(self, points: Sequence[int]) -> Teacher:
        """Return the teacher of a stage: one point, or the mean of several.

        Raises:
            RouteError: a point is missing or damaged, or cannot process the student's images.
        """
        if self.with_features and len(points) > 1:
            raise RouteError(
                "maps and features of several points have no meaningful mean; a loss that uses them follows one point "
                "a stage: use another plan, or set its weight to 0"
            )
        teachers = [self._single_teacher(point) for point in points]
        return teachers[0] if len(teachers) == 1 else MeanTeacher(teachers)

    def _single_teacher(self, point: int) -> Teacher:
        teacher = self._live_teacher(point) if self._runs_live else self._cached_teacher(point)
        if point not in self.rotations:
            return teacher
        return RotatedTeacher(teacher, torch.from_numpy(self.rotations[point]).to(self.machine.device))

    def network(self, point: int, fresh: bool = False) -> Network:
        """Return a point's network for further training: with the point's weights, or with fresh ones.

        Raises:
            RouteError: the point is missing or damaged, is an ONNX, or has another input size than the student.
        """
        spec = self.route.spec
        file = self.route.point_file(point)
        if spec is None:
            raise RouteError(f"{file} is an ONNX file, which cannot be trained; import checkpoints of its network")
        if spec.size != self.loader.size:
            raise RouteError(f"the teacher takes {spec.size} px and the student {self.loader.size} px; "
                             "both are trained on the same images: use a student of the teacher's size")
        return build(spec) if fresh else load_model(file)

    def outputs(self, point: int, slot: int = 0) -> CachedOutputs:
        """Return a point's outputs for one version of every image: [images, dimension], memory-mapped, computed once.

        Raises:
            RouteError: see ``teacher``.
        """
        return read_slot(self._slot_path(point, slot))

    @property
    def _runs_live(self) -> bool:
        return self.cache_dtype == "off" or self.with_features

    def _cached_teacher(self, point: int) -> Teacher:
        spec = self.route.spec
        if spec is None:  # the size and the dimension of an imported ONNX are in its file only
            teacher = self._live_teacher(point)
            size, dimension = teacher.size, teacher.dimension
        else:
            size, dimension = spec.size, spec.outputs
        # Also if the cache exists: it may contain outputs for crops at the teacher's size.
        self._check_size(size)
        sibling_slots = self.loader.augmentation.sibling_slots
        return CachedTeacher(dimension, lambda slot: self._slot_path(point, slot), sibling_slots)

    def _slot_path(self, point: int, slot: int) -> Path:
        """Return the file of a slot; compute it first if it does not exist or is damaged."""
        dtype: CacheDtype = "float16" if self.cache_dtype == "off" else self.cache_dtype
        file = slot_path(self.route.folder / "cache", self.route.points[point].sha256, self.fingerprint,
                         self.loader.augmentation.key, slot, dtype)
        if file not in self._intact_files and not run_on_main_and_broadcast(lambda: is_intact(file)):
            # Trainings of several students share the cache, and one of them computes it.
            with lock_output(file, wait=True):
                if not run_on_main_and_broadcast(lambda: is_intact(file)):
                    self._write_slot(point, slot, file, dtype)
        self._intact_files.add(file)
        return file

    def _write_slot(self, point: int, slot: int, file: Path, dtype: CacheDtype) -> None:
        if file.exists():
            notify(f"the teacher cache {path_text(file)} is damaged (its checksum differs); it is made anew")
        teacher = self._live_teacher(point)
        loader = self._loader_for(teacher)
        if is_main_process() or loader.world_size > 1:
            write_slot(teacher, loader, slot, file, dtype, self.machine.device)
        barrier()

    def _live_teacher(self, point: int) -> LiveTeacher:
        file = self.route.point_file(point)
        # Outputs for the cache are computed once, and therefore in full precision.
        dtype = self.machine.dtype if self._runs_live else torch.float32
        teacher = load_live_teacher(file, self.machine.device, dtype, with_features=self.with_features,
                                    feature_layers=self.feature_layers, onnx_device=self.machine.recipe.device)
        if teacher.size != self.loader.size and self._runs_live:
            remedy = "a loss without maps and features" if self.with_features else "teacher_cache=float16"
            raise RouteError(
                f"the teacher {file} takes {teacher.size} px and the student {self.loader.size} px; "
                f"a live teacher sees the student's images: use {remedy}, or a student of the teacher's size"
            )
        return teacher

    def _loader_for(self, teacher: LiveTeacher) -> Loader:
        """Return the loader of the student's images at the teacher's input size."""
        loader = self.loader
        if teacher.size == loader.size:
            return loader
        self._check_size(teacher.size)
        return Loader(
            loader.images,
            teacher.size,
            batch_size=loader.batch_size,
            seed=0,
            augmentation=loader.augmentation,
            decoded_cache_gib=loader.decoded_cache_gib,
            device=self.machine.device,
            rank=loader.rank,
            world_size=loader.world_size,
            unreadable=loader.unreadable,
        )

    def _check_size(self, size: int) -> None:
        if size != self.loader.size and not self.loader.augmentation.is_scale_invariant:
            raise RouteError(
                f"the teacher takes {size} px and the student {self.loader.size} px; crops shifted by whole pixels "
                "differ between sizes: use data.augmentation.kind=flip or resized-crop, or a student of the teacher's "
                "size"
            )
