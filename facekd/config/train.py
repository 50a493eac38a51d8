"""The recipe of ``facekd train``."""

from __future__ import annotations

from pydantic import Field

from facekd.config.common import (
    DataRecipe,
    HeadRecipe,
    MachineRecipe,
    ModelRecipe,
    PathText,
    Recipe,
    RouteRecipe,
    Seed,
    TrainingRecipe,
)


class TrainRecipe(Recipe):
    """``facekd train``: train a network on labels and record its route."""

    dataset: PathText = Field(description="the training set: faces, or classes for a softmax head")
    out: PathText = Field(description="the run folder to create or to continue")
    data: DataRecipe = Field(default_factory=DataRecipe)
    model: ModelRecipe = Field(default_factory=ModelRecipe)
    head: HeadRecipe = Field(default_factory=HeadRecipe)
    training: TrainingRecipe = Field(default_factory=TrainingRecipe)
    route: RouteRecipe = Field(default_factory=RouteRecipe)
    machine: MachineRecipe = Field(default_factory=MachineRecipe)
    seed: Seed = 0
