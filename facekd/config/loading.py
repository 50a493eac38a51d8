"""Recipes read from YAML, with ``key=value`` overrides; an error lists every mistake at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import ValidationError

from facekd.config import DistillRecipe, Recipe, TrainRecipe
from facekd.errors import RecipeError, did_you_mean

R = TypeVar("R", bound=Recipe)

MAX_DIFFERENCES = 4
"""Differing keys that an error message lists."""
_ABSENT = object()


def load_recipe(recipe_class: type[R], file: Path | None, overrides: Sequence[str],
                paths: Mapping[str, Path | str | None] | None = None) -> R:
    """Read and validate a recipe.

    Args:
        recipe_class: the class of the recipe.
        file: a YAML file, or None for the defaults.
        overrides: ``key=value`` strings; dots separate the levels of a key, and values are YAML.
        paths: values of top-level keys that are not parsed as YAML; keys whose value is None are ignored.

    Raises:
        RecipeError: with every mistake: unknown keys (and the nearest valid one), wrong types, values out of range.
    """
    source = str(file) if file else "the command line"
    tree = _read_yaml(file) if file else {}
    problems = [problem for override in overrides if (problem := _apply(tree, override))]
    tree.update({key: str(value) for key, value in (paths or {}).items() if value is not None})
    try:
        recipe = recipe_class.model_validate(tree)
    except ValidationError as error:
        problems += [_explain(recipe_class, dict(details)) for details in error.errors()]
        raise RecipeError(problems, source) from None
    if problems:
        raise RecipeError(problems, source)
    return recipe


def dump_recipe(recipe: Recipe) -> str:
    """Return the resolved recipe as YAML; `load_recipe` reads it as an equal recipe."""
    return yaml.safe_dump(recipe.model_dump(), sort_keys=False, allow_unicode=True)


def load_run_recipe(run: Path, command: str) -> TrainRecipe | DistillRecipe:
    """Return the recipe of a run of ``train`` or ``distill``.

    Args:
        run: the run folder.
        command: the command that wrote it.

    Raises:
        RecipeError: the recipe cannot be read.
    """
    recipe_class: type[TrainRecipe | DistillRecipe] = DistillRecipe if command == "distill" else TrainRecipe
    return load_recipe(recipe_class, run / "recipe.yaml", ())


def recipe_differences(file: Path, recipe: Recipe) -> str:
    """Return the keys in which a recipe differs from a written one; an empty string where they are equal.

    A key that the file does not set has its default value, so that a recipe of before the key existed compares equal.

    Args:
        file: the written recipe.
        recipe: the recipe to compare with it.

    Returns:
        at most `MAX_DIFFERENCES` keys with both values, e.g. ``"seed was 0 and is 1"``, joined by semicolons; for a
        file that is no valid recipe the reason.
    """
    try:
        written = load_recipe(type(recipe), file, ())
    except RecipeError as error:
        return f"{file} cannot be read: {error.problems[0]}"
    differences = list(_differences(written.model_dump(), recipe.model_dump()))
    more = len(differences) - MAX_DIFFERENCES
    return "; ".join(differences[:MAX_DIFFERENCES] + ([f"and {more} more"] if more > 0 else []))


def _differences(old: Any, new: Any, key: str = "") -> Iterator[str]:
    """Yield a sentence per differing leaf of two trees; a list is a leaf, so that its order counts."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in {**old, **new}:
            subkey = f"{key}.{name}" if key else str(name)
            yield from _differences(old.get(name, _ABSENT), new.get(name, _ABSENT), subkey)
    elif old != new:
        old_text, new_text = ("absent" if value is _ABSENT else str(value) for value in (old, new))
        yield f"{key} was {old_text} and is {new_text}"


def _read_yaml(file: Path) -> dict[str, Any]:
    try:
        tree = yaml.safe_load(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RecipeError(["the file does not exist"], str(file)) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError([f"not readable as YAML: {error}"], str(file)) from error
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise RecipeError([f"holds a {type(tree).__name__}, 'key: value' lines are needed"], str(file))
    return tree


def _apply(tree: dict[str, Any], override: str) -> str | None:
    """Set one override in the tree; return the problem, if any."""
    key, equals, value = override.partition("=")
    if not equals or not key:
        return f"'{override}' is no override; write key=value, e.g. training.epochs=10"
    *levels, last = key.split(".")
    for level in levels:
        branch = tree.setdefault(level, {})
        if not isinstance(branch, dict):
            return f"'{key}': '{level}' holds {branch!r} and has no keys below it"
        tree = branch
    try:
        tree[last] = yaml.safe_load(value)
    except yaml.YAMLError:
        return f"'{override}': the value is not readable; quote it, e.g. {key}='\"text\"'"
    return None


def _explain(recipe_class: type[Recipe], error: dict[str, Any]) -> str:
    """Return a pydantic error as a sentence with the key and the valid values."""
    location = [str(level) for level in error["loc"]]
    key = ".".join(location)
    if error["type"] == "extra_forbidden":
        return f"unknown key '{key}'; {did_you_mean(location[-1], _valid_keys(recipe_class, location[:-1]))}"
    if error["type"] == "missing":
        return f"'{key}' is missing; give {key}=..."
    message = error["msg"][0].lower() + error["msg"][1:]
    return f"'{key}': {message}, not {error['input']!r}"


def _valid_keys(recipe_class: type[Recipe], location: Sequence[str]) -> list[str]:
    """Return the valid keys of the section at ``location``."""
    for level in location:
        field = recipe_class.model_fields.get(level)
        annotations = (field.annotation, *get_args(field.annotation)) if field else ()
        sections = [t for t in annotations if isinstance(t, type) and issubclass(t, Recipe)]
        if not sections:
            return []
        recipe_class = sections[0]
    return list(recipe_class.model_fields)
