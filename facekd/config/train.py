"""The recipe of ``facekd teach``."""

from __future__ import annotations

from pydantic import Field

from facekd.config.common import DataRecipe, HeadRecipe, MachineRecipe, ModelRecipe, Recipe, RouteRecipe, ScheduleRecipe


class TeachRecipe(Recipe):
    """``facekd teach``: train a network on labels and record its route."""

    faces: str = Field(description="the training set: of faces, or with a softmax head of classes")
    out: str = Field(description="the run folder to make or to continue")
    data: DataRecipe = Field(default_factory=DataRecipe)
    model: ModelRecipe = Field(default_factory=ModelRecipe)
    head: HeadRecipe = Field(default_factory=HeadRecipe)
    schedule: ScheduleRecipe = Field(default_factory=ScheduleRecipe)
    route: RouteRecipe = Field(default_factory=RouteRecipe)
    machine: MachineRecipe = Field(default_factory=MachineRecipe)
    seed: int = Field(0, ge=0)
