"""Whether a student answers in the space of its teacher, so that both can be used on one gallery."""

from __future__ import annotations

from typing import Any

import torch

from facekd.config import DistillRecipe
from facekd.errors import ModelError
from facekd.methods.objective import Objective
from facekd.models.registry import Network
from facekd.route.plan import Plan
from facekd.route.route import Route
from facekd.route.teacher import load_live_teacher
from facekd.utils.console import notify


def shared_length(recipe: DistillRecipe, objective: Objective, plan: Plan, route: Route) -> int | None:
    """Return the length of embeddings in the teacher's space, if the student shall answer in it; else None.

    Args:
        recipe: the recipe of the run.
        objective: the terms of the loss.
        plan: the plan of the student.
        route: the route of the plan.

    Raises:
        RouteError: the file of an ONNX teacher is missing or damaged.
    """
    if recipe.head.closed_set or not objective.follows_embeddings or not recipe.student.compatible:
        return None
    return teacher_length(plan, route)


def explain_space(student: Network, recipe: DistillRecipe, objective: Objective, plan: Plan, route: Route) -> None:
    """Tell the user why a student of faces will not answer in the space of its teacher, if it will not.

    Args:
        student: the network.
        recipe: the recipe of the run.
        objective: the terms of the loss.
        plan: the plan of the student.
        route: the route of the plan.

    Raises:
        ModelError: ``student.compatible`` is false and has no effect.
    """
    is_refused = not recipe.student.compatible
    if recipe.head.closed_set:
        reason = "a softmax head has classes and no embeddings"
    elif not objective.follows_embeddings:
        reason = (f"no term of the loss ({', '.join(objective.terms)}) pulls embeddings to the teacher's to the end, "
                  "as cosine and l2 do")
    elif is_refused and student.spec.outputs == teacher_length(plan, route):
        reason = f"student and teacher have embeddings of {student.spec.outputs} numbers"
    elif is_refused:
        notify(f"the student will not answer in its teacher's space: its embeddings have {student.spec.outputs} "
               f"numbers, those of the teacher {teacher_length(plan, route)} (student.compatible=false)")
        return
    else:
        return
    if is_refused:
        raise ModelError(f"student.compatible=false has no effect, because {reason}; leave it out")
    if not recipe.head.closed_set:
        notify(f"the student will not answer in its teacher's space: {reason}")


def compatible_with(student: Network, objective: Objective, plan: Plan, route: Route) -> dict[str, Any] | None:
    """Return the name, the SHA-256 and the embedding length of the teacher in whose space a student answers.

    Args:
        student: the trained network.
        objective: the terms of its loss, on embeddings.
        plan: the stages that it followed.
        route: the route of the plan.

    Returns:
        None if there is no such teacher: the loss compares relations only, the lengths differ, or the last target was
        a mean of several points.
    """
    points = plan.stages[-1].points
    if not objective.follows_embeddings or len(points) != 1:
        return None
    # Anchors of an aligned plan are rotated into the space of the end of the route.
    point = len(route.points) - 1 if plan.rotations else points[0]
    dimension = teacher_length(plan, route)
    if student.spec.outputs != dimension:
        return None
    folder = route.folder.resolve()
    name = folder.parent.name if folder.name == "route" else folder.name
    return {"name": f"{name}/{route.points[point].file}", "sha256": route.points[point].sha256, "dimension": dimension}


def teacher_length(plan: Plan, route: Route) -> int:
    """Return the length of the teacher's outputs.

    Args:
        plan: the plan of the student.
        route: the route of the plan.

    Raises:
        RouteError: the file of an ONNX teacher is missing or damaged.
    """
    if route.spec is not None:
        return route.spec.outputs
    return load_live_teacher(route.point_file(plan.first_points(route)[0]), torch.device("cpu")).dimension
