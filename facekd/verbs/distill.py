"""``facekd distill``: a plan in, a student out."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import torch

from facekd.config import DistillRecipe, load_recipe
from facekd.data.faceset import FaceSet, Fingerprint, open_faces
from facekd.data.loader import Loader
from facekd.errors import RouteError
from facekd.methods.mimic import Mimic
from facekd.models.count import parameters
from facekd.models.registry import create
from facekd.models.weights import save_model
from facekd.route.cache import CachedTeacher, build_cache, cache_file
from facekd.route.plan import Plan
from facekd.route.route import Route
from facekd.route.teacher import Teacher, live_teacher
from facekd.runs import Run
from facekd.training.loop import Trainer
from facekd.training.machine import Machine
from facekd.training.method import Stage


def distill(faces: Path | str | None = None, plan: Path | str | None = None, out: Path | str | None = None,
            *overrides: str, recipe: Path | str | None = None) -> Path:
    """Train a student along the anchors of a plan (RCO), or after one teacher where the plan has one anchor.

    Args:
        faces: the training face set (recipe key ``faces``).
        plan: ``plan.json`` (recipe key ``plan``).
        out: the run folder (recipe key ``out``).
        overrides: ``key=value`` of `facekd.config.DistillRecipe`, e.g. ``"student.name=mobilefacenet"``.
        recipe: a YAML recipe.

    Returns:
        the run folder, with ``model.safetensors``.

    Raises:
        RecipeError: mistakes in the recipe.
        RouteError: the plan or the route is damaged.
        DataError: the face set cannot be used.
        SetupError: the folder holds another run, the disk is full, the device is absent.
    """
    given = {"faces": faces, "plan": plan, "out": out}
    resolved = load_recipe(DistillRecipe, Path(recipe) if recipe else None, overrides, given)
    run = Run(Path(resolved.out))
    data = open_faces(resolved.faces)
    followed, route = Plan.read(resolved.plan)
    torch.manual_seed(resolved.seed)
    student = create(resolved.student.name, size=resolved.student.size, embedding=resolved.student.embedding,
                     **resolved.student.options)
    fingerprint = data.fingerprint()
    anchors = [{**asdict(leg), **asdict(route.points[leg.point])} for leg in followed.legs]
    facts = {"faces": asdict(fingerprint), "model": student.spec.to_dict(), "parameters": parameters(student),
             "strategy": followed.strategy, "anchors": anchors}
    if run.begin("distill", resolved, facts) and run.finished:
        return run.path
    loader = Loader(data, resolved.student.size, resolved.schedule.batch, resolved.seed, resolved.machine.memory)
    teachers = _Teachers(route, resolved, data, fingerprint, loader)
    dimension = teachers(followed.legs[0].point).dimension
    method = Mimic(student, resolved.mimic, teachers, dimension, resolved.head, data.identities)
    stages = [Stage(leg.share * resolved.schedule.epochs, leg.point) for leg in followed.legs]
    Trainer(run, method, stages, loader, resolved.schedule, resolved.machine).fit()
    save_model(student, run.model)
    run.finish()
    return run.path


class _Teachers:
    """Gives the teacher of a route point: from its cache, which is made when first asked for, or live."""

    def __init__(self, route: Route, recipe: DistillRecipe, faces: FaceSet, fingerprint: Fingerprint,
                 loader: Loader) -> None:
        self.route, self.recipe, self.faces, self.fingerprint, self.loader = route, recipe, faces, fingerprint, loader
        self.machine = Machine(recipe.machine)

    def __call__(self, point: int) -> Teacher:
        file = self.route.point_file(point)
        if self.recipe.cache == "off":
            teacher = live_teacher(file, self.machine.device, self.machine.dtype)
            if teacher.size != self.loader.size:
                raise RouteError(
                    f"the teacher {file} takes {teacher.size} px and the student {self.loader.size} px; "
                    "a live teacher sees the student's crops: use cache=float16, or a student of the teacher's size"
                )
            return teacher
        cached = cache_file(self.route.folder / "cache", self.route.points[point].sha256, self.fingerprint,
                            self.recipe.cache)
        if not cached.exists():
            teacher = live_teacher(file, self.machine.device)
            same = teacher.size == self.loader.size
            memory = self.recipe.machine.memory
            loader = self.loader if same else Loader(self.faces, teacher.size, self.loader.batch, 0, memory)
            build_cache(teacher, loader, cached, self.recipe.cache, self.machine.device)
        return CachedTeacher(cached)
