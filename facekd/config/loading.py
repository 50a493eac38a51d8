"""Recipes read from YAML, with ``key=value`` overrides; an error lists every mistake at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import ValidationError

from facekd.config import DistillRecipe, Recipe, TrainRecipe
from facekd.errors import DataError, RecipeError, did_you_mean
from facekd.io.documents import parse_yaml, read_yaml
from facekd.io.records import dotted_key, explain
from facekd.text import path_text, short_repr, shorten

R = TypeVar("R", bound=Recipe)
Check = Callable[[Mapping[str, Any]], Iterable[str]]
"""Looks for mistakes in a recipe as it was written, before it is validated."""

MAX_DIFFERENCES = 4
"""Differing keys that an error message lists."""
MAX_PROBLEMS = 20
"""Mistakes that an error message lists."""
MAX_LEVELS = 8
"""Levels of the key of an override."""
PLACES = {"dataset", "out", "plan", "teacher"}
"""Keys that say where something lies. It may be moved: ``run.json`` records what it is by fingerprints."""
_ABSENT = object()


def load_recipe(recipe_class: type[R], file: Path | None, overrides: Sequence[str],
                paths: Mapping[str, Path | str | None] | None = None, check: Check | None = None) -> R:
    """Read and validate a recipe.

    Args:
        recipe_class: the class of the recipe.
        file: a YAML file, or None for the defaults.
        overrides: ``key=value`` strings; dots separate the levels of a key, and values are YAML.
        paths: values of top-level keys that are not parsed as YAML; keys whose value is None are ignored.
        check: looks for further mistakes; it sees what was written, which may be of any type.

    Raises:
        RecipeError: with every mistake: unknown keys (and the nearest valid one), wrong types, values out of range, a
            path that is given twice.
    """
    source = path_text(file) if file else "the command line"
    tree = _read_yaml(file) if file else {}
    given = {key: str(value) for key, value in (paths or {}).items() if value is not None}
    problems = [problem for override in overrides if (problem := _apply(tree, override, given))]
    tree.update(given)
    recipe = None
    try:
        recipe = recipe_class.model_validate(tree)
    except ValidationError as error:
        problems += [_explain(recipe_class, dict(details)) for details in error.errors()]
    problems += check(tree) if check else ()
    if recipe is None or problems:
        more = len(problems) - MAX_PROBLEMS
        raise RecipeError(problems[:MAX_PROBLEMS] + ([f"and {more:,} more"] if more > 0 else []), source)
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
    The keys `PLACES` are not compared.

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
        return f"{path_text(file)}: {error.problems[0]}"
    differences = list(_differences(written.model_dump(exclude=PLACES), recipe.model_dump(exclude=PLACES)))
    more = len(differences) - MAX_DIFFERENCES
    return "; ".join(differences[:MAX_DIFFERENCES] + ([f"and {more} more"] if more > 0 else []))


def _differences(old: Any, new: Any, key: str = "") -> Iterator[str]:
    """Yield a sentence per differing leaf of two trees; a list is a leaf, so that its order counts."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in {**old, **new}:
            subkey = f"{key}.{name}" if key else str(name)
            yield from _differences(old.get(name, _ABSENT), new.get(name, _ABSENT), subkey)
    elif old != new:
        old_text, new_text = ("absent" if value is _ABSENT else shorten(value, 80) for value in (old, new))
        yield f"{shorten(key)} was {old_text} and is {new_text}"


def _read_yaml(file: Path) -> dict[str, Any]:
    try:
        tree = read_yaml(file, DataError, remedy="correct it")
    except DataError as error:
        raise RecipeError([str(error).removeprefix(f"{path_text(file)} ")], path_text(file)) from error
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise RecipeError([f"holds a {type(tree).__name__}, 'key: value' lines are needed"], path_text(file))
    return tree


def _apply(tree: dict[str, Any], override: str, given: Mapping[str, str]) -> str | None:
    """Set one override in the tree; return the problem, if any."""
    key, equals, value = override.partition("=")
    label = shorten(override, 80)
    if not equals or not key:
        return f"'{label}' is no override; write key=value, e.g. training.epochs=10"
    if key in given:
        return f"'{key}' is given twice, as {short_repr(given[key])} and by '{label}'; leave one of them out"
    *levels, last = key.split(".")
    if len(levels) > MAX_LEVELS:
        return f"'{label}': the key has more than {MAX_LEVELS} levels; check it"
    for level in levels:
        branch = tree.setdefault(level, {})
        if not isinstance(branch, dict):
            return f"'{shorten(key)}': '{shorten(level)}' holds {short_repr(branch)} and has no keys below it"
        tree = branch
    try:
        tree[last] = parse_yaml(value, "", DataError)
    except DataError:
        return f"'{label}': the value is not readable; quote it, e.g. {shorten(key, 40)}='\"text\"'"
    return None


def _explain(recipe_class: type[Recipe], error: dict[str, Any]) -> str:
    """Return a pydantic error as a sentence with the key and the valid values."""
    location = [str(level) for level in error["loc"]]
    if error["type"] == "extra_forbidden":
        hint = did_you_mean(location[-1], _valid_keys(recipe_class, location[:-1]))
        return f"unknown key '{dotted_key(error)}'; {hint}"
    if error["type"] == "missing":
        return f"'{dotted_key(error)}' is missing; give {dotted_key(error)}=..."
    return explain(error)


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
