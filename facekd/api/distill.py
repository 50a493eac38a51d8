"""``facekd distill``: a plan in, a student out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch

from facekd.config import DistillRecipe, PartnerRecipe, TapsRecipe
from facekd.config.loading import load_recipe
from facekd.data.loading.loader import Loader
from facekd.data.training_set import TrainingSet, open_training
from facekd.distributed import leads, told
from facekd.errors import ModelError, RouteError
from facekd.methods.distillation import Distillation
from facekd.methods.joint import Together
from facekd.methods.objective import Mixture, mixture
from facekd.models.complexity import parameters
from facekd.models.registry import Network
from facekd.models.weights import save_model
from facekd.route.anchor_schedule import Distances, Walk
from facekd.route.congruence import TEMPERATURE, congruence_on
from facekd.route.plan import Leg, Plan
from facekd.route.recorder import Recorder
from facekd.route.route import Route
from facekd.route.teachers import Anchors
from facekd.run import Run
from facekd.training.builders import network, training_loader
from facekd.training.ema import save_student
from facekd.training.machine import Machine
from facekd.training.trainer import Trainer


def distill(faces: Path | str | None = None, plan: Path | str | None = None, out: Path | str | None = None,
            *overrides: str, recipe: Path | str | None = None) -> Path:
    """Train a student along the anchors of a plan (RCO), or after one teacher where the plan has one anchor.

    Args:
        faces: the training set: of faces, or with ``head.name=softmax`` of classes (recipe key ``faces``).
        plan: ``plan.json`` (recipe key ``plan``).
        out: the run folder (recipe key ``out``).
        overrides: ``key=value`` of `facekd.config.DistillRecipe`, e.g. ``"student.name=mobilefacenet"``.
        recipe: a YAML recipe.

    Processes that torchrun started do this together, see `facekd.api.train`.

    Returns:
        the run folder, with ``model.safetensors`` and the ``plan.json`` that was walked; with ``partner.safetensors``
        where a teacher was trained beside the student, and ``model.ema.safetensors`` where ``schedule.ema`` asks for
        it, see `facekd.training.ema`.

    Raises:
        RecipeError: mistakes in the recipe.
        RouteError: the plan or the route is damaged.
        DataError: the training set cannot be used.
        SetupError: the folder holds another run, the disk is full, the device is absent.
    """
    given = {"faces": faces, "plan": plan, "out": out}
    resolved = load_recipe(DistillRecipe, Path(recipe) if recipe else None, overrides, given)
    run = Run(Path(resolved.out))
    schedule, closed = resolved.schedule, resolved.head.closed
    mixed = mixture(resolved.method, resolved.losses, closed)
    data = open_training(resolved.faces, resolved.data, closed)
    followed, route = Plan.read(resolved.plan)
    torch.manual_seed(resolved.seed)
    student = network(resolved.student, resolved.head, data.images.classes)
    fingerprint = told(data.images.fingerprint)
    facts = {"faces": asdict(fingerprint), "model": student.spec.to_dict(), "parameters": parameters(student),
             "strategy": followed.strategy, "anchors": [_anchor(leg, route) for leg in followed.legs]}
    if Path(resolved.plan).resolve() == run.plan.resolve():
        raise RouteError(f"{run.plan} is where this run keeps the plan it walks; keep yours outside of {run.path}")
    if not run.begin("distill", resolved, facts):
        told(partial(run.plan.unlink, missing_ok=True))  # of a first try that got nowhere, perhaps along another plan
    if run.finished:
        return run.path
    loader = training_loader(data, resolved.student.size, resolved)
    _check_legs(followed, schedule.epochs * loader.steps)
    anchors = Anchors(route, loader, fingerprint, resolved.cache, Machine(resolved.machine),
                      mixed.looks_inside(closed), resolved.taps.teacher)
    method = _method(student, mixed, followed, anchors, resolved, loader)
    distances = _distances(followed, data, route, method, resolved, mixed)
    walk = Walk(followed, route, run.plan, schedule.epochs, distances)
    recorder = Recorder(run, student, resolved.route.every, loader.steps)
    trainer = Trainer(run, method, walk, loader, schedule, resolved.machine, recorder)
    trainer.fit()
    save_student(run, student, trainer.average)
    if isinstance(method, Together) and leads():
        save_model(method.partner, run.partner)
    run.finish(walked=[_anchor(leg, route) for leg in walk.plan.legs])
    return run.path


def _method(student: Network, mixed: Mixture, plan: Plan, anchors: Anchors, recipe: DistillRecipe,
            loader: Loader) -> Distillation:
    """What is trained: the student after frozen anchors, or beside a teacher that moves."""
    first = plan.legs[0].points
    if recipe.taps != TapsRecipe() and not mixed.looks_inside(recipe.head.closed):
        raise ModelError("taps are set, and no term of the loss looks at maps; take them out, or add one that does")
    if recipe.partner != PartnerRecipe() and mixed.partner is None:
        raise ModelError("partner is set, and no teacher is trained beside the student; take it out, or add "
                         "method=prokt or dml")
    if mixed.partner is None:
        sample = anchors.teacher(first).sample()
        return Distillation(student, mixed, anchors.teacher, sample, recipe.head, loader, recipe.taps.student)
    if plan.growth or {leg.points for leg in plan.legs} != {first} or len(first) > 1:
        raise RouteError(f"{mixed.partner} moves its teacher by itself, and has no further anchors to go to: "
                         "plan with --strategy final")
    settled = recipe.partner.settled(mixed.partner)
    partner = anchors.network(first[0], fresh=bool(settled.fresh))
    return Together(student, partner, mixed, settled, recipe.head, loader,
                    (recipe.taps.student, recipe.taps.teacher))


def _check_legs(plan: Plan, steps: float) -> None:
    """Every leg needs a step of its own, or the end of the plan would go by unseen."""
    shortest = min([leg.share for leg in plan.legs] + ([plan.growth.share] if plan.growth else []))
    if shortest * steps < 1:
        raise RouteError(
            f"the shortest leg of the plan, {shortest:.2%} of {steps:g} training steps, is less than one step; "
            "plan fewer anchors or set schedule.epochs higher"
        )


def _anchor(leg: Leg, route: Route) -> dict[str, Any]:
    """A leg and the points it follows, for ``run.json``."""
    points = [route.points[point] for point in leg.points]
    return {**asdict(points[-1]), "point": ", ".join(map(str, leg.points)), "why": leg.why, "share": leg.share,
            "sha256": [point.sha256 for point in points]}


def _distances(plan: Plan, data: TrainingSet, route: Route, method: Distillation, recipe: DistillRecipe,
               mixed: Mixture) -> Distances:
    """What a greedy plan asks of the student."""
    if plan.growth is None:
        return _unasked
    if data.withheld is None:
        raise RouteError(
            "a greedy plan measures the student on images withheld from training: set data.withhold=0.05, "
            "for this run and for all it is compared with"
        )
    kd = mixed.terms.get("kd")
    temperature = float(kd.options.get("temperature", TEMPERATURE)) if kd else TEMPERATURE
    measure = congruence_on(data.withheld, data.view, recipe.student.size, route, method.outputs,
                            temperature if recipe.head.closed else None, recipe.machine)

    def distances(points: Sequence[int]) -> list[float]:
        found = measure(points)
        return told(lambda: found)  # to the last bit: all must go to the same anchor

    return distances


def _unasked(points: Sequence[int]) -> list[float]:
    raise AssertionError("only a greedy plan asks for distances")
