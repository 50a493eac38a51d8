"""What recipes of several verbs have in common."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Recipe(BaseModel):
    """Base of all recipe parts: frozen, and unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelRecipe(Recipe):
    """A network by its registry name; ``options`` are the architecture's own (width, expansion, ...)."""

    name: str = "iresnet50"
    size: int = Field(112, ge=32, le=256, description="side of the input crop in pixels")
    embedding: int = Field(512, gt=0, description="length of the embedding; a softmax head has one output a class")
    pixels: str = Field("unit", description="how pixels are scaled: unit, cifar10, cifar100, imagenet")
    options: dict[str, Any] = Field(default_factory=dict)


class StudentRecipe(ModelRecipe):
    """The network of a student."""

    name: str = "mobilefacenet"


class HeadRecipe(Recipe):
    """A margin head for faces, by its margin (``arcface``, ``cosface``, ``adaface``, ...), or ``softmax`` for classes.

    A margin head serves people who are not in the training set; under a softmax head the network's outputs are the
    logits of a closed set of classes.
    """

    name: str = "arcface"
    scale: float = Field(64.0, gt=0)
    margin: float | None = Field(None, ge=0, lt=3.15, description="None: the head's own")
    rate: float = Field(1.0, gt=0, le=1, description="share of the other classes that a step meets (Partial FC)")
    centres: int = Field(1, ge=1, description="a class; more than 1 take up noisy labels (sub-centre ArcFace, 3)")
    options: dict[str, Any] = Field(default_factory=dict, description="of the margin, e.g. {concentration: 0.333}")

    @property
    def closed(self) -> bool:
        """Whether the classes of the training set are those the network is for."""
        return self.name == "softmax"


class ViewsRecipe(Recipe):
    """Which versions of the training images are shown; they follow from (views.seed, epoch, index) alone."""

    kind: Literal["auto", "plain", "flip", "crop", "resized-crop"] = Field(
        "auto", description="auto: crop for a softmax head, else flip"
    )
    padding: int = Field(4, ge=0, description="crop: black pixels around the image before a random square is cut")
    seed: int = Field(0, ge=0, description="apart from the run's seed, so that runs can share a teacher's answers")


class DataRecipe(Recipe):
    """Which part of the training set is used; all runs that are to be compared need the same."""

    classes: int = Field(0, ge=0, description="only the first so many classes of a class set; 0: all")
    withhold: float = Field(0.0, ge=0, lt=0.5, description="share of the images kept out of training, for greedy plans")
    images_each: int = Field(0, ge=0, description="of a person in a batch (balanced batches); 0: whoever comes")
    bad_records: int = Field(0, ge=0, description="images that may be unreadable; the run lists them")
    views: ViewsRecipe = Field(default_factory=ViewsRecipe)


class ScheduleRecipe(Recipe):
    """The optimiser and its learning rate over one stage; steps are the optimiser's."""

    epochs: float = Field(20.0, gt=0, description="epochs in all; distill shares them among its stages")
    batch: int = Field(128, ge=2, description="images that are computed at once, by all processes together")
    accumulate: int = Field(1, ge=1, description="batches a step; batch norm sees each by itself")
    optimizer: Literal["sgd", "adamw"] = "sgd"
    learning_rate: float = Field(0.1, gt=0, description="peak rate; adamw wants about 0.001")
    shape: Literal["cosine", "step", "poly", "constant", "onecycle"] = "cosine"
    warmup: float = Field(0.5, ge=0, description="epochs of linear warm-up; onecycle has its own")
    warmup_steps: int = Field(0, ge=0, description="warm-up in steps, in place of epochs; of onecycle, too")
    milestones: list[float] = Field(default_factory=lambda: [0.6, 0.85], description="step: fractions of the stage")
    gamma: float = Field(0.1, gt=0, le=1, description="step: factor at each milestone")
    momentum: float = Field(0.9, ge=0, lt=1, description="of sgd; beta 1 of adamw")
    weight_decay: float = Field(5e-4, ge=0)
    decay_all: bool = Field(False, description="also biases, norms and PReLU slopes, as the CIFAR benchmarks do")
    clip: float = Field(5.0, gt=0, description="largest gradient norm of the network, and of a head")
    shared_norm: bool = Field(False, description="batch norm over the batch of all processes, not each one's part")
    ema: float = Field(0.0, ge=0, lt=1, description="decay of a mean of the student's weights that is kept, e.g. 0.999")

    @model_validator(mode="after")
    def _one_warmup(self) -> ScheduleRecipe:
        usual = type(self).model_fields["warmup"].default
        if self.warmup_steps and self.warmup != usual:
            raise ValueError("warmup_steps and warmup both say how long to warm up; leave one of them out")
        if self.shape == "onecycle" and self.warmup != usual:
            raise ValueError("onecycle does not know warmup; leave it out, or give warmup_steps")
        return self


class MachineRecipe(Recipe):
    """Where and how to compute; ``auto`` picks what the machine has."""

    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, mps")
    precision: Literal["auto", "float32", "bfloat16", "float16"] = Field("auto", description="auto: bfloat16 on CUDA")
    checkpointing: bool = Field(False, description="compute blocks again in the backward pass: less memory, more time")
    compile: bool = Field(False, description="torch.compile; on a CPU it needs g++")
    threads: int = Field(0, ge=0, description="CPU threads of the network; 0: as many as cores")
    memory: float = Field(2.0, ge=0, description="GiB of decoded crops to keep; a larger set is decoded every epoch")
    checkpoints: int = Field(2, ge=1, description="how many of the newest are kept")
    checkpoint_minutes: float = Field(10.0, gt=0, description="a checkpoint at least this often, and at every epoch")


class RouteRecipe(Recipe):
    """Which points of a training are recorded; the last step before each drop and the last are always among them."""

    every: float = Field(1.0, ge=0, description="epochs between two points; 0 records no route")
