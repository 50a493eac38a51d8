"""The recipe of ``facekd search``."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from facekd.config.common import MachineRecipe, Recipe, ScheduleRecipe


class SearchRecipe(Recipe):
    """``facekd search``: find a student inside its teacher; the data are those the teacher was taught."""

    teacher: str = Field(description="a run of teach whose model is a ResNet for CIFAR")
    out: str = Field(description="the run folder to make or to continue")
    cost: Literal["macs", "parameters", "latency"] = Field("macs", description="what the budget is given in")
    share: float = Field(0.5, gt=0, lt=1, description="budget as a share of what the teacher costs")
    limit: float | None = Field(None, gt=0, description="budget in its own unit, in place of a share; latency: ms")
    runtime: Literal["torch", "onnxruntime"] = Field(
        "onnxruntime", description="what latency is measured on: one image, one thread of this machine, at best idle"
    )
    temperature: float = Field(4.0, gt=0, description="of the KL to the teacher; faces have none")
    sparsity: float = Field(1e-4, gt=0, description="lambda of the first epoch; doubled until the budget is reached")
    pace: float = Field(10.0, gt=0, description="factor on the gates' learning rate: a short search needs quick gates")
    blocks: bool = Field(True, description="whether whole blocks may be dropped")
    random: int = Field(5, ge=0, description="random subgraphs to draw at the same budget, as controls")
    schedule: ScheduleRecipe = Field(ScheduleRecipe(epochs=60), description="of the search")
    machine: MachineRecipe = Field(default_factory=MachineRecipe)
    seed: int = Field(0, ge=0)
