"""``facekd distill``: training of a student along the anchors of a plan."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch

from facekd.config import DistillRecipe, FeatureLayersRecipe, JointTeacherRecipe, TrainingRecipe
from facekd.data.loading.loader import Loader
from facekd.data.training_set import TrainingSet, open_training_set
from facekd.distributed import get_world_size, init_distributed, is_main_process, run_on_main_and_broadcast
from facekd.errors import ModelError, RouteError
from facekd.io.locks import lock_output
from facekd.io.outputs import check_writable
from facekd.methods.distillation import Distillation, build_distillation
from facekd.methods.objective import Objective, parse_objective
from facekd.methods.online import OnlineDistillation, build_online_distillation
from facekd.methods.online_registry import ONLINE_METHODS
from facekd.methods.recipe_check import load_training_recipe
from facekd.models.complexity import count_parameters
from facekd.models.registry import Network
from facekd.models.weights import save_model
from facekd.route.agreement import GradientAgreement, create_agreement
from facekd.route.anchor_schedule import AnchorSchedule
from facekd.route.congruence import TEMPERATURE
from facekd.route.plan import Plan, PlanStage
from facekd.route.recorder import RouteRecorder, check_recorded_route
from facekd.route.route import Route
from facekd.route.teachers import AnchorTeachers
from facekd.run import Run
from facekd.training.builders import build_loader
from facekd.training.ema import save_student
from facekd.training.initial_student import initial_student
from facekd.training.lr_schedule import check_schedule
from facekd.training.machine import Machine
from facekd.training.trainer import Trainer


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
    given_plan, route = Plan.read(resolved.plan)
    torch.manual_seed(resolved.seed)
    resolved, student = initial_student(resolved, data.images.num_classes)
    fingerprint = run_on_main_and_broadcast(data.images.fingerprint)
    facts = {
        "dataset": asdict(fingerprint), "model": student.spec.to_dict(), "parameters": count_parameters(student),
        "losses": objective.describe(), "strategy": given_plan.describe_strategy(),
        "anchors": [_describe_stage(stage, route) for stage in given_plan.stages],
    }
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
    _check_stage_lengths(given_plan, training, loader.steps_per_epoch)
    anchors = AnchorTeachers(route, loader, fingerprint, resolved.teacher_cache, machine,
                             with_features=objective.needs_live_teacher(closed_set),
                             feature_layers=resolved.feature_layers.teacher, rotations=given_plan.rotations)
    method = _build_method(student, objective, given_plan, anchors, resolved, loader)
    agreement = None
    if given_plan.growth is not None:
        agreement = _create_agreement(data, route, method, resolved, objective, machine)
    schedule = AnchorSchedule(given_plan, route, run.plan, training.epochs, agreement)
    recorder = RouteRecorder(run, student, resolved.route.every_epochs, loader.steps_per_epoch)
    trainer = Trainer(run, method, schedule, loader, training, machine, on_checkpoint=recorder,
                      event_every_steps=recorder.event_every_steps)
    trainer.fit()
    save_student(run, student, trainer.ema)
    if isinstance(method, OnlineDistillation) and is_main_process():
        save_model(method.joint_teacher, run.joint_teacher)
    run.finish(followed_anchors=[_describe_stage(stage, route) for stage in schedule.plan.stages])
    return run.path


def _build_method(student: Network, objective: Objective, plan: Plan, anchors: AnchorTeachers, recipe: DistillRecipe,
                  loader: Loader) -> Distillation:
    """Build the distillation from frozen anchors, or the online method if the objective names one."""
    first_points = plan.first_points(anchors.route)
    if recipe.feature_layers != FeatureLayersRecipe() and not objective.needs_live_teacher(recipe.head.closed_set):
        raise ModelError("feature_layers are set, and no term of the loss uses feature maps; take them out, or add one "
                         "that does")
    if recipe.joint_teacher != JointTeacherRecipe() and objective.joint_teacher is None:
        raise ModelError("joint_teacher is set, and no teacher is trained jointly with the student; take it out, or "
                         "add method=prokt or dml")
    if objective.joint_teacher is None:
        teacher_output = anchors.teacher(first_points).example_output()
        return build_distillation(student, objective, anchors.teacher, teacher_output, recipe.head, loader,
                                  feature_layers=recipe.feature_layers.student)
    has_other_anchors = any(stage.points != first_points for stage in plan.stages)
    if plan.growth or has_other_anchors or len(first_points) > 1:
        raise RouteError(f"{objective.joint_teacher} trains its teacher itself and follows no further anchors: "
                         "plan with --strategy final")
    joint_recipe = recipe.joint_teacher.with_defaults(ONLINE_METHODS[objective.joint_teacher].fresh_teacher)
    joint_teacher = anchors.network(first_points[0], fresh=bool(joint_recipe.fresh))
    return build_online_distillation(student, joint_teacher, objective, joint_recipe, recipe.head, loader,
                                     student_layers=recipe.feature_layers.student,
                                     teacher_layers=recipe.feature_layers.teacher)


def _check_stage_lengths(plan: Plan, training: TrainingRecipe, steps_per_epoch: int) -> None:
    """Check that every stage has a step: otherwise the end of the plan would be skipped silently."""
    shares = [stage.share for stage in plan.stages]
    if plan.growth:
        shares.append(plan.growth.share)
    shortest = min(shares)
    check_schedule(training, steps_per_epoch, shortest)
    steps = training.epochs * steps_per_epoch
    if shortest * steps < 1:
        raise RouteError(
            f"the shortest stage of the plan, {shortest:.2%} of {steps:g} training steps, is less than one step; "
            "plan fewer anchors or set training.epochs higher"
        )


def _describe_stage(stage: PlanStage, route: Route) -> dict[str, Any]:
    """Return a stage and its anchors for ``run.json``; step, epoch and learning rate are those of its last point."""
    points = [route.points[point] for point in stage.points]
    return {
        **asdict(points[-1]), "point": ", ".join(map(str, stage.points)), "stage_reason": stage.reason,
        "share": stage.share, "sha256": [point.sha256 for point in points],
    }


def _create_agreement(data: TrainingSet, route: Route, method: Distillation, recipe: DistillRecipe,
                      objective: Objective, machine: Machine) -> GradientAgreement:
    """Return the gradient agreement by which a greedy plan chooses its anchors."""
    if data.held_out is None:
        raise RouteError(
            "a greedy plan measures the student on images held out of training: set data.val_fraction=0.05, "
            "for this run and for all runs of the comparison"
        )
    kd = objective.terms.get("kd")
    temperature = float(kd.options.get("temperature", TEMPERATURE)) if kd else TEMPERATURE
    return create_agreement(data.held_out, data.eval_transform, recipe.student.size, route, method.student,
                            method.differentiable_outputs,
                            temperature=temperature if recipe.head.closed_set else None, machine=machine,
                            batch_size=recipe.training.batch_size // get_world_size(),
                            decoded_cache_gib=recipe.machine.decoded_cache_gib)
