"""The method of a student as its recipe and its plan describe it, with what the plan needs."""

from __future__ import annotations

from facekd.config import DistillRecipe, FeatureLayersRecipe, JointTeacherRecipe, TrainingRecipe
from facekd.data.loading.loader import Loader
from facekd.data.training_set import TrainingSet
from facekd.distributed import get_world_size
from facekd.errors import ModelError, RouteError
from facekd.methods.distillation import Distillation, build_distillation
from facekd.methods.objective import Objective
from facekd.methods.online import build_online_distillation
from facekd.methods.online_registry import ONLINE_METHODS
from facekd.models.registry import Network
from facekd.route.agreement import GradientAgreement, create_agreement
from facekd.route.congruence import TEMPERATURE
from facekd.route.plan import Plan
from facekd.route.route import Route
from facekd.route.teachers import AnchorTeachers
from facekd.training.lr_schedule import check_schedule
from facekd.training.machine import Machine


def build_method(student: Network, objective: Objective, plan: Plan, anchors: AnchorTeachers, recipe: DistillRecipe,
                 loader: Loader) -> Distillation:
    """Build the distillation from frozen anchors, or the online method if the objective names one.

    Args:
        student: the network.
        objective: the terms of the loss.
        plan: the plan of the student.
        anchors: the teachers of the plan's route.
        recipe: the recipe of the run, complete.
        loader: the loader of the training set.

    Raises:
        ModelError: the terms do not fit the networks, or a key of the recipe has no effect.
        RouteError: an anchor is damaged, or an online method has more than one.
    """
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


def check_stage_lengths(plan: Plan, training: TrainingRecipe, steps_per_epoch: int) -> None:
    """Check that every stage has a step: otherwise the end of the plan would be skipped silently.

    Args:
        plan: the plan of the student.
        training: the number of epochs and the schedule.
        steps_per_epoch: number of steps in an epoch.

    Raises:
        RecipeError: see `facekd.training.lr_schedule.check_schedule`.
        RouteError: a stage is shorter than a step.
    """
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


def build_agreement(data: TrainingSet, route: Route, method: Distillation, recipe: DistillRecipe,
                    objective: Objective, machine: Machine) -> GradientAgreement:
    """Build the gradient agreement by which a greedy plan chooses its anchors.

    Args:
        data: the training set with its held-out images.
        route: the route of the plan.
        method: the distillation of the student.
        recipe: the recipe of the run, complete.
        objective: the terms of the loss.
        machine: the machine that computes.

    Raises:
        RouteError: no images, or too few, are held out of training.
    """
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
