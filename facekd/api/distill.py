"""``facekd distill``: training of a student along the anchors of a plan."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch

from facekd.config import DistillRecipe
from facekd.data.training_set import open_training_set
from facekd.distributed import init_distributed, is_main_process, run_on_main_and_broadcast
from facekd.errors import RouteError
from facekd.io.files import sha256
from facekd.io.locks import lock_output
from facekd.io.outputs import check_writable
from facekd.methods.compatibility import compatible_with, explain_space, shared_length
from facekd.methods.from_recipe import build_agreement, build_method, check_stage_lengths
from facekd.methods.held_out import build_held_out_cosine
from facekd.methods.objective import check_objective_labels, parse_objective
from facekd.methods.online import OnlineDistillation
from facekd.methods.recipe_check import load_training_recipe
from facekd.methods.teacher_fit import judge_fit
from facekd.models.complexity import count_parameters
from facekd.models.weights import save_model
from facekd.route.anchor_schedule import AnchorSchedule
from facekd.route.plan import Plan, PlanStage
from facekd.route.recorder import RouteRecorder, check_recorded_route
from facekd.route.route import Route
from facekd.route.teachers import AnchorTeachers
from facekd.run import Run
from facekd.training.builders import build_loader
from facekd.training.ema import save_student
from facekd.training.initial_student import initial_student
from facekd.training.machine import Machine
from facekd.training.trainer import Trainer
from facekd.utils.console import notify


def distill(dataset: Path | str | None = None, plan: Path | str | None = None, out: Path | str | None = None,
            *overrides: str, recipe: Path | str | None = None) -> Path:
    """Train a student along the anchors of a plan (RCO), or on one teacher if the plan has one anchor.

    The same call continues a run that was killed, and processes that torchrun started train together, see
    `facekd.api.train`.

    Args:
        dataset: the training set: faces, or classes for ``head.name=softmax`` (recipe key ``dataset``).
        plan: ``plan.json`` (recipe key ``plan``).
        out: the run folder (recipe key ``out``).
        overrides: ``key=value`` strings for `facekd.config.DistillRecipe`, e.g. ``"student.name=mobilefacenet"``.
        recipe: a YAML recipe.

    Returns:
        the run folder, with ``model.safetensors`` and the ``plan.json`` that was followed; with
        ``joint_teacher.safetensors`` for an online method, and with ``model.ema.safetensors`` if
        ``training.ema_decay`` is set, see `facekd.training.ema`.

    Raises:
        RecipeError: the recipe has mistakes.
        RouteError: the plan or the route is damaged, or the plan does not fit the method.
        ModelError: the terms of the objective do not fit the networks, or a key of the recipe has no effect.
        DataError: the training set cannot be used, or a damaged file of the finished run cannot be made again.
        SetupError: the folder contains another run, cannot be written or is being written by another process, the disk
            is full, or the device does not exist.
    """
    init_distributed()
    paths = {"dataset": dataset, "plan": plan, "out": out}
    resolved = load_training_recipe(DistillRecipe, Path(recipe) if recipe else None, overrides, paths)
    if is_main_process():
        check_writable(resolved.out, folder=True)
    with lock_output(resolved.out):
        return _distill(resolved)


def _distill(resolved: DistillRecipe) -> Path:
    training = resolved.training
    closed_set = resolved.head.closed_set
    run = Run(Path(resolved.out))
    objective = parse_objective(resolved.method, resolved.losses, closed_set)
    data = open_training_set(resolved.dataset, resolved.data, closed_set)
    check_objective_labels(objective, data.images)
    given_plan, route = Plan.read(resolved.plan)
    torch.manual_seed(resolved.seed)
    length = shared_length(resolved, objective, given_plan, route)
    resolved, student = initial_student(resolved, data.images.num_classes, length)
    explain_space(student, resolved, objective, given_plan, route)
    fingerprint = run_on_main_and_broadcast(data.images.fingerprint)
    facts = {
        "dataset": asdict(fingerprint), "model": student.spec.to_dict(), "parameters": count_parameters(student),
        "losses": objective.describe(), "strategy": given_plan.describe_strategy(),
        "anchors": [_describe_stage(stage, route) for stage in given_plan.stages],
        "teacher": route.describe_teacher(),
    }
    if resolved.student.weights:
        facts["student_weights"] = run_on_main_and_broadcast(partial(sha256, Path(resolved.student.weights)))
    if Path(resolved.plan).resolve() == run.plan.resolve():
        raise RouteError(f"{run.plan} is the file in which this run records its plan; keep yours outside of {run.path}")
    if not run.begin("distill", resolved, facts):
        # A first try without a checkpoint may have left the stages of another plan.
        run_on_main_and_broadcast(partial(run.plan.unlink, missing_ok=True))
    if run.is_complete():
        run_on_main_and_broadcast(lambda: check_recorded_route(run))
        return run.path
    machine = Machine(resolved.machine)
    loader = build_loader(data, resolved.student.size, resolved, machine)
    check_stage_lengths(given_plan, training, loader.steps_per_epoch)
    anchors = AnchorTeachers(route, loader, fingerprint, resolved.teacher_cache, machine,
                             with_features=objective.needs_live_teacher(closed_set),
                             feature_layers=resolved.feature_layers.teacher, rotations=given_plan.rotations)
    method = build_method(student, objective, given_plan, anchors, resolved, loader)
    agreement = None
    if given_plan.growth is not None:
        agreement = build_agreement(data, route, method, resolved, objective, machine)
    schedule = AnchorSchedule(given_plan, route, run.plan, training.epochs, agreement)
    recorder = RouteRecorder(run, student, resolved.route.every_epochs, loader.steps_per_epoch)
    held_out = build_held_out_cosine(method, data, given_plan, route, resolved, machine)
    trainer = Trainer(run, method, schedule, loader, training, machine, on_checkpoint=recorder,
                      event_every_steps=recorder.event_every_steps, measure=held_out)
    trainer.fit()
    save_student(run, student, trainer.ema)
    if isinstance(method, OnlineDistillation) and is_main_process():
        save_model(method.joint_teacher, run.joint_teacher)
    plan = schedule.plan
    run.finish(
        followed_anchors=[_describe_stage(stage, route) for stage in plan.stages],
        compatible_with=None if closed_set else compatible_with(student, objective, plan, route),
        teacher_fit=_teacher_fit(run, held_out.images if held_out else 0, objective.follows_embeddings),
    )
    return run.path


def _teacher_fit(run: Run, held_out_images: int, follows_embeddings: bool) -> dict[str, Any] | None:
    """Judge a finished training by its log, tell the user, and return the result for ``run.json``."""
    if not is_main_process():
        return None
    fit = judge_fit(run.read_log(), held_out_images, follows_embeddings=follows_embeddings)
    if fit is None:
        return None
    notify(f"{run.path.name}: {fit.sentence}")
    return asdict(fit)




def _describe_stage(stage: PlanStage, route: Route) -> dict[str, Any]:
    """Return a stage and its anchors for ``run.json``; step, epoch and learning rate are those of its last point."""
    points = [route.points[point] for point in stage.points]
    return {
        **asdict(points[-1]), "point": ", ".join(map(str, stage.points)), "stage_reason": stage.reason,
        "share": stage.share, "sha256": [point.sha256 for point in points],
    }
