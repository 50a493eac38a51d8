"""A training that is to be: its recipe, its data, and what follows from both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
import yaml

from facekd.config import DistillRecipe, ModelRecipe, TeachRecipe
from facekd.config.loading import load_recipe
from facekd.data.training_set import TrainingSet, open_training
from facekd.heads import create_head
from facekd.heads.base import Head
from facekd.methods.objective import LABELS, Mixture, mixture
from facekd.models.registry import Network
from facekd.route.plan import Plan
from facekd.route.route import Route
from facekd.training.builders import network
from facekd.training.machine import find_device


@dataclass(frozen=True)
class Job:
    """One training by ``ranks`` processes.

    Attributes:
        recipe: of teach or distill, resolved.
        data: of the recipe.
        ranks: processes that share every batch.
        walk: a student's plan and the route it goes along; None where there is no teacher.
    """

    recipe: TeachRecipe | DistillRecipe
    data: TrainingSet
    ranks: int
    walk: tuple[Plan, Route] | None

    @property
    def wanted(self) -> ModelRecipe:
        """The network that is trained."""
        return self.recipe.student if isinstance(self.recipe, DistillRecipe) else self.recipe.model

    @property
    def mixed(self) -> Mixture | None:
        """The terms of a student's loss."""
        recipe = self.recipe
        return mixture(recipe.method, recipe.losses, recipe.head.closed) if isinstance(recipe, DistillRecipe) else None

    @property
    def live_teacher(self) -> bool:
        """Whether a teacher runs beside the student, because its answers are not cached."""
        if not isinstance(self.recipe, DistillRecipe) or self.mixed is None:
            return False
        return self.recipe.cache == "off" or self.mixed.looks_inside(self.recipe.head.closed)

    @property
    def device(self) -> str:
        """The kind of device: what the recipe says, or for ``auto`` what is here."""
        named = self.recipe.machine.device
        return find_device("auto").type if named == "auto" else named.partition(":")[0]

    @property
    def dtype(self) -> torch.dtype:
        """Of autocast."""
        precision = self.recipe.machine.precision
        automatic = torch.bfloat16 if self.device == "cuda" else torch.float32
        return automatic if precision == "auto" else {"float32": torch.float32, "bfloat16": torch.bfloat16,
                                                      "float16": torch.float16}[precision]

    @property
    def classes(self) -> int:
        """Of the training set."""
        return self.data.images.classes

    @property
    def step_images(self) -> int:
        """Images of one step of the optimiser, by all processes."""
        return self.recipe.schedule.batch * self.recipe.schedule.accumulate

    @property
    def process_images(self) -> int:
        """Images that one process computes at once."""
        return max(2, self.recipe.schedule.batch // self.ranks)

    @property
    def epoch_steps(self) -> int:
        """Steps of an epoch."""
        return max(1, len(self.data.images) // self.step_images)

    @cached_property
    def meta_network(self) -> Network:
        """The network, without content: for its shapes."""
        with torch.device("meta"):
            return self.make_network()

    def make_network(self) -> Network:
        """The network, anew."""
        return network(self.wanted, self.recipe.head, self.classes)

    @property
    def has_head(self) -> bool:
        """Whether labels count."""
        return self.mixed is None or LABELS in self.mixed.terms

    def make_head(self, classes: int) -> Head:
        """A head over so many classes, all of them met in a step."""
        options = {**dict(self.recipe.head), "rate": 1.0}
        return create_head(outputs=self.meta_network.spec.outputs, classes=classes, **options)


def open_job(recipe: Path, overrides: Sequence[str], ranks: int) -> Job:
    """Read a recipe of teach or, where it names a plan, of distill, and open what it names.

    Raises:
        RecipeError: mistakes in the recipe.
        DataError: the training set cannot be opened.
        RouteError: the plan or the route is damaged.
        ModelError: the network or the head cannot be made.
    """
    kind: type[TeachRecipe | DistillRecipe] = DistillRecipe if _names_plan(recipe, overrides) else TeachRecipe
    resolved = load_recipe(kind, recipe, overrides)
    walk = Plan.read(resolved.plan) if isinstance(resolved, DistillRecipe) else None
    job = Job(resolved, open_training(resolved.faces, resolved.data, resolved.head.closed), ranks, walk)
    if job.has_head:  # says what cannot be made
        job.make_head(job.classes if resolved.head.closed else 1)
    return job


def _names_plan(recipe: Path, overrides: Sequence[str]) -> bool:
    try:
        tree = yaml.safe_load(recipe.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):  # the reader of recipes says what is wrong
        return False
    return "plan" in (tree if isinstance(tree, dict) else {}) or any(text.startswith("plan=") for text in overrides)
