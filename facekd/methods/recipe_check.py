"""The recipes of trainings, with all mistakes at once: those of the schema, and unknown names and options.

The schema of a recipe knows no networks, heads and losses, because they are in higher layers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from facekd.config import DistillRecipe, LossRecipe, Recipe, TrainRecipe
from facekd.config.loading import load_recipe
from facekd.config.options import option_problems
from facekd.errors import ModelError, did_you_mean
from facekd.heads import HEADS
from facekd.losses import get_loss_class, list_losses
from facekd.methods.objective import LABELS, parse_objective
from facekd.methods.online_registry import ONLINE_METHODS
from facekd.models.registry import model_problems
from facekd.text import shorten

R = TypeVar("R", bound=TrainRecipe | DistillRecipe)
NETWORK_KEYS: Mapping[type[Recipe], str] = {TrainRecipe: "model", DistillRecipe: "student"}
"""The section of the network, by the class of the recipe."""


def load_training_recipe(recipe_class: type[R], file: Path | None, overrides: Sequence[str],
                         paths: Mapping[str, Path | str | None] | None = None) -> R:
    """Read and validate a recipe of a training, see `facekd.config.loading.load_recipe`.

    Raises:
        RecipeError: with every mistake, unknown names of networks, heads and losses and their options included.
    """
    return load_recipe(recipe_class, file, overrides, paths, check=lambda tree: _name_problems(recipe_class, tree))


def _name_problems(recipe_class: type[Recipe], tree: Mapping[str, Any]) -> Iterator[str]:
    """Yield the unknown names and options of a recipe as it was written; wrong types are left to the schema."""
    yield from _network_problems(recipe_class, NETWORK_KEYS[recipe_class], tree)
    yield from _head_problems(_section(tree, "head"))
    if recipe_class is DistillRecipe:
        yield from _objective_problems(tree)


def _section(tree: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Return a part of the tree; an empty one where something else was written."""
    section = tree.get(key)
    return section if isinstance(section, dict) and all(isinstance(name, str) for name in section) else {}


def _network_problems(recipe_class: type[Recipe], key: str, tree: Mapping[str, Any]) -> Iterator[str]:
    default = recipe_class.model_fields[key].get_default(call_default_factory=True)
    section = _section(tree, key)
    name = section.get("name", default.name)
    normalization = section.get("normalization", default.normalization)
    if not isinstance(name, str) or not isinstance(normalization, str):
        return
    size = section.get("size", default.size)
    # A size out of range is named by the schema already.
    if type(size) is not int or not 32 <= size <= 256:
        size = default.size
    for problem in model_problems(name, size, 1, _section(section, "options"), normalization):
        yield f"'{key}': {problem}"


def _head_problems(section: Mapping[str, Any]) -> Iterator[str]:
    name = section.get("name", "arcface")
    options = _section(section, "options")
    if not isinstance(name, str):
        return
    if name not in HEADS and name != "softmax":
        yield f"'head.name': unknown head '{shorten(name, 80)}': {did_you_mean(name, [*HEADS, 'softmax'])}"
    elif name in HEADS:
        for problem in option_problems(HEADS[name], options, f"head {name}"):
            yield f"'head.options': {problem}"


def _objective_problems(tree: Mapping[str, Any]) -> Iterator[str]:
    method = tree.get("method", "")
    if not isinstance(method, str):
        return
    problems = [*_method_problems(method), *_loss_problems(_section(tree, "losses"))]
    yield from problems
    if not problems:
        yield from _combination_problems(tree)


def _method_problems(method: str) -> Iterator[str]:
    known_names = sorted({*list_losses(), *ONLINE_METHODS})
    for name in method.split("+") if method.strip() else []:
        if name.strip() not in known_names:
            hint = did_you_mean(name.strip(), known_names)
            yield f"'method': unknown method '{shorten(name.strip(), 80)}': {hint}"


def _loss_problems(losses: Mapping[str, Any]) -> Iterator[str]:
    known_names = sorted({*list_losses(), LABELS})
    for name, value in losses.items():
        if name not in known_names:
            yield f"'losses': unknown loss '{shorten(name, 80)}': {did_you_mean(name, known_names)}"
            continue
        options = {key: option for key, option in value.items() if key not in LossRecipe.model_fields} \
            if isinstance(value, dict) else {}
        if name == LABELS:
            for option in options:
                yield f"'losses.{LABELS}': unknown option '{shorten(option, 80)}'; it has weight, begin and end alone"
        else:
            for problem in option_problems(get_loss_class(name), options, f"loss {name}"):
                yield f"'losses.{name}': {problem}"


def _combination_problems(tree: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with terms that are right each for itself."""
    try:
        losses = {name: LossRecipe.model_validate(value) for name, value in _section(tree, "losses").items()}
    except ValidationError:
        return
    try:
        parse_objective(tree.get("method", ""), losses, _section(tree, "head").get("name") == "softmax")
    except ModelError as error:
        yield str(error)
