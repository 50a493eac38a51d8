"""A planned training run: its recipe, its data, and the quantities that follow from both."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from facekd.config import DistillRecipe, ModelRecipe, TrainRecipe
from facekd.data.training_set import TrainingSet, open_training_set
from facekd.errors import DataError
from facekd.heads import create_head
from facekd.heads.base import Head
from facekd.io.documents import read_yaml
from facekd.methods.compatibility import shared_length
from facekd.methods.objective import LABELS, Objective, parse_objective
from facekd.methods.recipe_check import load_training_recipe
from facekd.models.output_layer import with_outputs
from facekd.models.registry import Network, build
from facekd.models.weights import load_spec
from facekd.route.plan import Plan
from facekd.route.route import Route
from facekd.training.builders import build_network
from facekd.training.initial_student import complete_student
from facekd.utils.device import resolve_device


class TeacherRoute(NamedTuple):
    """The teacher of a student.

    Attributes:
        plan: the plan of the student.
        route: the route to which the plan refers.
    """

    plan: Plan
    route: Route


class Job:
    """One planned training run by ``world_size`` processes.

    Args:
        recipe: the resolved recipe of train or distill.
        data: the data of the recipe.
        world_size: the number of processes that share every batch.
        teacher: the plan and the route of a student; None if there is no teacher.

    Attributes:
        objective: the terms of a student's loss; None if there is no student.
        meta_network: the network on the meta device, which has shapes and no content.

    Raises:
        ModelError: the network or the objective is impossible.
    """

    def __init__(self, recipe: TrainRecipe | DistillRecipe, data: TrainingSet, world_size: int,
                 teacher: TeacherRoute | None) -> None:
        self.recipe = recipe
        self.data = data
        self.world_size = world_size
        self.teacher = teacher
        self.objective: Objective | None = None
        self._outputs: int | None = None
        if isinstance(recipe, DistillRecipe):
            self.objective = parse_objective(recipe.method, recipe.losses, recipe.head.closed_set)
            if teacher is not None:
                self._outputs = shared_length(recipe, self.objective, *teacher)
            self.recipe = complete_student(recipe, self.num_classes, self._outputs)
        with torch.device("meta"):
            self.meta_network = self.build_network()

    @property
    def model_recipe(self) -> ModelRecipe:
        """The network that is trained."""
        return self.recipe.student if isinstance(self.recipe, DistillRecipe) else self.recipe.model

    @property
    def needs_live_teacher(self) -> bool:
        """Whether a teacher runs together with the student, because its outputs are not cached."""
        if not isinstance(self.recipe, DistillRecipe) or self.objective is None:
            return False
        return self.recipe.teacher_cache == "off" or self.objective.needs_live_teacher(self.recipe.head.closed_set)

    @property
    def has_head(self) -> bool:
        """Whether the loss uses the labels."""
        return self.objective is None or LABELS in self.objective.terms

    @property
    def terms_on_labels(self) -> list[str]:
        """The terms of the loss that use labels."""
        return [LABELS] if self.objective is None else self.objective.terms_on_labels

    @property
    def device(self) -> str:
        """The device type of the recipe; for ``auto`` that of this machine."""
        name = self.recipe.machine.device
        return resolve_device("auto").type if name == "auto" else name.partition(":")[0]

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of autocast."""
        precision = self.recipe.machine.precision
        if precision == "auto":
            return torch.bfloat16 if self.device == "cuda" else torch.float32
        return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[precision]

    @property
    def num_classes(self) -> int:
        """The number of classes of the training set."""
        return self.data.images.num_classes

    @property
    def images_per_step(self) -> int:
        """The number of images of one optimizer step over all processes."""
        return self.recipe.training.batch_size * self.recipe.training.gradient_accumulation_steps

    @property
    def images_per_process(self) -> int:
        """The number of images that one process computes at once."""
        return max(2, self.recipe.training.batch_size // self.world_size)

    @property
    def steps_per_epoch(self) -> int:
        """The number of optimizer steps of an epoch."""
        return max(1, len(self.data.images) // self.images_per_step)

    @property
    def total_steps(self) -> int:
        """The number of optimizer steps of the run."""
        return round(self.recipe.training.epochs * self.steps_per_epoch)

    def build_network(self) -> Network:
        """Build the network on torch's current default device."""
        if isinstance(self.recipe, DistillRecipe) and self.recipe.student.weights:
            network = build(load_spec(Path(self.recipe.student.weights)))
        else:
            network = build_network(self.model_recipe, self.recipe.head, self.num_classes)
        return network if self._outputs is None else with_outputs(network, self._outputs)

    def build_head(self, classes: int) -> Head:
        """Build a head over this many classes, all of which are used in every step."""
        options = {**dict(self.recipe.head), "sample_rate": 1.0}
        return create_head(outputs=self.meta_network.spec.outputs, classes=classes, **options)


def open_job(recipe: Path, overrides: Sequence[str], world_size: int) -> Job:
    """Read a recipe of train, or of distill if it names a plan, and open the files that it names.

    Args:
        recipe: the YAML recipe.
        overrides: ``key=value`` strings that override the recipe.
        world_size: the number of processes.

    Raises:
        RecipeError: the recipe has mistakes.
        DataError: the training set cannot be opened.
        RouteError: the plan or the route is damaged.
        ModelError: the network or the head is impossible.
    """
    recipe_class: type[TrainRecipe | DistillRecipe] = TrainRecipe
    if _names_plan(recipe, overrides):
        recipe_class = DistillRecipe
    resolved = load_training_recipe(recipe_class, recipe, overrides)
    teacher = TeacherRoute(*Plan.read(resolved.plan)) if isinstance(resolved, DistillRecipe) else None
    data = open_training_set(resolved.dataset, resolved.data, resolved.head.closed_set)
    job = Job(resolved, data, world_size, teacher)
    if job.has_head:  # raises if the head is impossible; the number of classes of a margin head does not matter
        job.build_head(job.num_classes if resolved.head.closed_set else 1)
    return job


def _names_plan(recipe: Path, overrides: Sequence[str]) -> bool:
    """Return whether a recipe has the key ``plan``; `load_training_recipe` reports a file that cannot be read."""
    try:
        content = read_yaml(recipe)
    except DataError:
        return False
    return (isinstance(content, dict) and "plan" in content) or any(text.startswith("plan=") for text in overrides)
