"""Recipes: a typed tree read from YAML, with ``key=value`` overrides; every mistake is listed at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from facekd.errors import RecipeError, nearest


class Recipe(BaseModel):
    """Base of all recipe parts: frozen, and unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelRecipe(Recipe):
    """A network by its registry name; ``options`` are the architecture's own (width, expansion, ...)."""

    name: str = "iresnet50"
    size: int = Field(112, ge=32, le=256, description="side of the input crop in pixels")
    embedding: int = Field(512, gt=0, description="length of the embedding")
    options: dict[str, Any] = Field(default_factory=dict)


class StudentRecipe(ModelRecipe):
    """The network of a student."""

    name: str = "mobilefacenet"


class HeadRecipe(Recipe):
    """A margin head: ``arcface`` (margin 0.5 unless given) or ``cosface`` (0.35)."""

    name: str = "arcface"
    scale: float = Field(64.0, gt=0)
    margin: float | None = Field(None, ge=0, lt=3.15, description="None: the head's own")


class ScheduleRecipe(Recipe):
    """SGD and its learning rate over one stage; warm-up and drops are counted in epochs of that stage."""

    epochs: float = Field(20, gt=0, description="epochs in all; distill shares them among its stages")
    batch: int = Field(128, ge=2)
    learning_rate: float = Field(0.1, gt=0, description="peak rate for this batch")
    shape: Literal["cosine", "step", "poly", "constant"] = "cosine"
    warmup: float = Field(0.5, ge=0, description="epochs of linear warm-up")
    milestones: list[float] = Field(default_factory=lambda: [0.6, 0.85], description="step: fractions of the stage")
    gamma: float = Field(0.1, gt=0, le=1, description="step: factor at each milestone")
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(5e-4, ge=0)
    clip: float = Field(5.0, gt=0, description="largest gradient norm of the network, and of a head")


class MachineRecipe(Recipe):
    """Where and how to compute; ``auto`` picks what the machine has."""

    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, mps")
    precision: Literal["auto", "float32", "bfloat16"] = Field("auto", description="auto: bfloat16 on CUDA")
    compile: bool = Field(False, description="torch.compile; on a CPU it needs g++")
    threads: int = Field(0, ge=0, description="CPU threads of the network; 0: as many as cores")
    memory: float = Field(2.0, ge=0, description="GiB of decoded crops to keep; a larger set is decoded every epoch")
    checkpoint_minutes: float = Field(10.0, gt=0, description="a checkpoint at least this often, and at every epoch")


class RouteRecipe(Recipe):
    """Which points of a training are recorded; the last step before each drop and the last are always among them."""

    every: float = Field(1, ge=0, description="epochs between two points; 0 records no route")


class TeachRecipe(Recipe):
    """``facekd teach``: train a network with a margin head on labels and record its route."""

    faces: str = Field(description="the training face set")
    out: str = Field(description="the run folder to make or to continue")
    model: ModelRecipe = Field(default_factory=ModelRecipe)
    head: HeadRecipe = Field(default_factory=HeadRecipe)
    schedule: ScheduleRecipe = Field(default_factory=ScheduleRecipe)
    route: RouteRecipe = Field(default_factory=RouteRecipe)
    machine: MachineRecipe = Field(default_factory=MachineRecipe)
    seed: int = Field(0, ge=0)


class MimicRecipe(Recipe):
    """Embedding mimicking: weights of the loss terms; a weight of 0 leaves a term out."""

    l2: float = Field(1.0, ge=0, description="weight of the squared distance of the embeddings")
    cosine: float = Field(0.0, ge=0, description="weight of 1 - cos of the embeddings")
    normalize: bool = Field(True, description="bring both embeddings to unit length before l2")
    labels: float = Field(0.0, ge=0, description="weight of the margin loss on labels")


class DistillRecipe(Recipe):
    """``facekd distill``: train a student along the anchors of a plan."""

    faces: str = Field(description="the training face set")
    plan: str = Field(description="plan.json written by 'facekd plan'")
    out: str = Field(description="the run folder to make or to continue")
    student: StudentRecipe = Field(default_factory=StudentRecipe)
    mimic: MimicRecipe = Field(default_factory=MimicRecipe)
    head: HeadRecipe = Field(default_factory=HeadRecipe)
    schedule: ScheduleRecipe = Field(default_factory=ScheduleRecipe)
    cache: Literal["float16", "float32", "off"] = Field("float16", description="how anchors' embeddings are kept")
    machine: MachineRecipe = Field(default_factory=MachineRecipe)
    seed: int = Field(0, ge=0)

    @field_validator("cache", mode="before")
    @classmethod
    def _off(cls, value: Any) -> Any:
        return "off" if value is False else value  # what YAML makes of a bare 'off'


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
