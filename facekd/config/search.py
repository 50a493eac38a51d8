"""The recipe of ``facekd search``."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from facekd.config.common import MachineRecipe, PathText, Recipe, Seed, TrainingRecipe


class SearchRecipe(Recipe):
    """``facekd search``: search a student inside its teacher, on the training set of the teacher."""

    teacher: PathText = Field(description="a run of train whose model is a ResNet for CIFAR")
    out: PathText = Field(description="the run folder to create or to continue")
    cost: Literal["macs", "parameters", "latency"] = Field("macs", description="the quantity that the budget limits")
    budget_fraction: float = Field(0.5, gt=0, lt=1, description="budget as a fraction of the cost of the teacher")
    budget: float | None = Field(
        None, gt=0, description="absolute budget in place of a fraction: MACs, parameters, or milliseconds of latency"
    )
    runtime: Literal["torch", "onnxruntime"] = Field(
        "onnxruntime", description="runtime of latency measurements: one image, one thread, this machine (best idle)"
    )
    temperature: float = Field(4.0, gt=0, description="temperature of the KL to the teacher; not used for faces")
    sparsity: float = Field(
        1e-4, gt=0, description="lambda in the first epoch; it doubles after each epoch above the budget"
    )
    gate_lr_scale: float = Field(
        10.0, gt=0, description="factor on the learning rate of the gates; short searches need a large one"
    )
    drop_blocks: bool = Field(True, description="whether whole blocks may be dropped")
    random_controls: int = Field(5, ge=0, le=1000, description="number of random subgraphs at the same budget, as "
                                                               "controls")
    training: TrainingRecipe = Field(TrainingRecipe(epochs=60), description="training of the gates and the weights")
    machine: MachineRecipe = Field(default_factory=MachineRecipe)
    seed: Seed = 0
