"""The student before its first step: with fresh weights, or with those of a file, e.g. a part of the teacher."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from facekd.config import DistillRecipe
from facekd.errors import ModelError
from facekd.models.output_layer import with_outputs
from facekd.models.registry import Network
from facekd.models.weights import load_model, load_spec
from facekd.text import short_repr
from facekd.training.builders import build_network


def initial_student(recipe: DistillRecipe, classes: int, outputs: int | None = None) -> tuple[DistillRecipe, Network]:
    """Return the recipe with a complete description of the student, and the student in training mode.

    Args:
        recipe: the recipe of the run.
        classes: number of classes in the training set.
        outputs: length of the student's output, to which an output layer maps an embedding of another length; None:
            the student has no such layer.

    Raises:
        ModelError: see `complete_student`; or the file of ``student.weights`` is damaged.
    """
    recipe = complete_student(recipe, classes, outputs)
    if recipe.student.weights:
        network = load_model(Path(recipe.student.weights)).train()
    else:
        network = build_network(recipe.student, recipe.head, classes)
    return recipe, network if outputs is None else with_outputs(network, outputs)


def complete_student(recipe: DistillRecipe, classes: int, outputs: int | None = None) -> DistillRecipe:
    """Return the recipe with what follows from others of its keys.

    The file of ``student.weights`` gives name, size, embedding and normalization; its options, which for a graph are
    kilobytes, are in the file alone. Without a file the embedding has the length of the output, unless the recipe gives
    one.

    Args:
        recipe: the recipe of the run.
        classes: number of classes in the training set.
        outputs: see `initial_student`.

    Raises:
        ModelError: the file is no model of facekd, the recipe describes another network than the file, or the network
            has another number of outputs than a softmax head needs.
    """
    student = recipe.student
    if not student.weights:
        is_given = outputs is None or "embedding" in student.model_fields_set
        return recipe if is_given else _with_student(recipe, {"embedding": outputs})
    spec = load_spec(Path(student.weights))
    embedding = {} if recipe.head.closed_set else {"embedding": spec.embedding or spec.outputs}
    values = {"name": spec.name, "size": spec.size, "normalization": spec.normalization, **embedding}
    options = {"options": spec.to_dict()["options"]} if student.options else {}
    for key, value in {**values, **options}.items():
        if key in student.model_fields_set and getattr(student, key) != value:
            raise ModelError(f"student.{key} is {short_repr(getattr(student, key))}, and {student.weights} has "
                             f"{short_repr(value)}; leave student.{key} out")
    if recipe.head.closed_set and spec.outputs != classes:
        raise ModelError(f"{student.weights} has {spec.outputs} outputs, the training set {classes} classes; give "
                         "weights of a classifier of these classes")
    return _with_student(recipe, values)


def _with_student(recipe: DistillRecipe, values: Mapping[str, Any]) -> DistillRecipe:
    return recipe.model_copy(update={"student": recipe.student.model_copy(update=values)})
