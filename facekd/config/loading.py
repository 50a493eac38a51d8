"""Recipes read from YAML, with ``key=value`` overrides; every mistake is listed at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import ValidationError

from facekd.config import DistillRecipe, Recipe, TeachRecipe
from facekd.errors import RecipeError, nearest

R = TypeVar("R", bound=Recipe)


def load_recipe(
    kind: type[R], file: Path | None, overrides: Sequence[str], given: Mapping[str, Path | str | None] | None = None
) -> R:
    """Read a recipe.

    Args:
        kind: the recipe's type.
        file: a YAML file, or None for the defaults.
        overrides: ``key=value`` with dots between the levels of the key; values are YAML.
        given: top-level paths, taken as they are written; those that are None are left out.

    Raises:
        RecipeError: with every problem found: unknown keys (and the nearest valid one), wrong types, wrong ranges.
    """
    source = str(file) if file else "the command line"
    tree = _read_yaml(file) if file else {}
    problems = [p for text in overrides if (p := _apply(tree, text))]
    tree.update({key: str(value) for key, value in (given or {}).items() if value is not None})
    try:
        recipe = kind.model_validate(tree)
    except ValidationError as error:
        problems += [_sentence(kind, dict(e)) for e in error.errors()]
        raise RecipeError(problems, source) from None
    if problems:
        raise RecipeError(problems, source)
    return recipe


def dump_recipe(recipe: Recipe) -> str:
    """The resolved recipe as YAML; `load_recipe` reads it back to an equal one."""
    return yaml.safe_dump(recipe.model_dump(), sort_keys=False, allow_unicode=True)


def recipe_of(run: Path, verb: str) -> TeachRecipe | DistillRecipe:
    """What a run of ``teach`` or ``distill`` was made by.

    Raises:
        RecipeError: its recipe cannot be read.
    """
    kind: type[TeachRecipe | DistillRecipe] = DistillRecipe if verb == "distill" else TeachRecipe
    return load_recipe(kind, run / "recipe.yaml", ())


def differences(file: Path, recipe: Recipe) -> str:
    """Lines in which a written recipe is not the given one, at most four; empty where they are equal.

    Keys that are newer than the file have their defaults in it; where it cannot be read any more it counts as it is.
    """
    try:
        written = dump_recipe(load_recipe(type(recipe), file, ()))
    except RecipeError:
        written = file.read_text(encoding="utf-8") if file.exists() else ""
    lines = set(written.splitlines()) ^ set(dump_recipe(recipe).splitlines())
    return "; ".join(sorted(line.strip() for line in lines)[:4])


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


def _apply(tree: dict[str, Any], text: str) -> str | None:
    """Set one override in the tree; gives the problem, if any."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        return f"'{text}' is no override; write key=value, e.g. schedule.epochs=10"
    *levels, last = key.split(".")
    for level in levels:
        below = tree.setdefault(level, {})
        if not isinstance(below, dict):
            return f"'{key}': '{level}' holds {below!r} and has no keys below it"
        tree = below
    try:
        tree[last] = yaml.safe_load(value)
    except yaml.YAMLError:
        return f"'{text}': the value is not readable; quote it, e.g. {key}='\"text\"'"
    return None


def _sentence(kind: type[Recipe], error: dict[str, Any]) -> str:
    """One pydantic error as a sentence that names the key and what would be right."""
    location = [str(part) for part in error["loc"]]
    key = ".".join(location)
    if error["type"] == "extra_forbidden":
        return f"unknown key '{key}'; {nearest(location[-1], _keys_at(kind, location[:-1]))}"
    if error["type"] == "missing":
        return f"'{key}' is missing; give {key}=..."
    message = error["msg"][0].lower() + error["msg"][1:]
    return f"'{key}': {message}, not {error['input']!r}"


def _keys_at(kind: type[Recipe], location: Sequence[str]) -> list[str]:
    """The valid keys of the part of the tree that ``location`` leads to."""
    for part in location:
        field = kind.model_fields.get(part)
        below = [t for t in (field.annotation, *get_args(field.annotation)) if isinstance(t, type)] if field else []
        parts = [t for t in below if issubclass(t, Recipe)]
        if not parts:
            return []
        kind = parts[0]
    return list(kind.model_fields)
