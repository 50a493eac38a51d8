"""The student before its first step: with fresh weights, or with those of a file, e.g. a part of the teacher."""

from __future__ import annotations

from pathlib import Path

from facekd.config import DistillRecipe
from facekd.errors import ModelError
from facekd.models.registry import Network
from facekd.models.weights import load_model
from facekd.text import short_repr
from facekd.training.builders import build_network


def initial_student(recipe: DistillRecipe, classes: int) -> tuple[DistillRecipe, Network]:
    """Return the recipe with a complete description of the student, and the student in training mode.

    Args:
        recipe: the recipe of the run. Its ``student.weights`` decide name, size, embedding, normalization and options.
        classes: number of classes in the training set.

    Raises:
        ModelError: the file is no model of facekd, the recipe describes another network than the file, or the network
            has another number of outputs than a softmax head needs.
    """
    student = recipe.student
    if not student.weights:
        return recipe, build_network(student, recipe.head, classes)
    network = load_model(Path(student.weights)).train()
    spec = network.spec.to_dict()
    embedding = {} if recipe.head.closed_set else {"embedding": spec["outputs"]}
    values = {key: spec[key] for key in ("name", "size", "normalization", "options")} | embedding
    for key in student.model_fields_set & values.keys():
        if getattr(student, key) != values[key]:
            raise ModelError(f"student.{key} is {short_repr(getattr(student, key))}, and {student.weights} has "
                             f"{short_repr(values[key])}; leave student.{key} out")
    if recipe.head.closed_set and spec["outputs"] != classes:
        raise ModelError(f"{student.weights} has {spec['outputs']} outputs, the training set {classes} classes; give "
                         "weights of a classifier of these classes")
    return recipe.model_copy(update={"student": student.model_copy(update=values)}), network
