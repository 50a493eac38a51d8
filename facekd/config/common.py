"""The sections that the recipes of several commands share."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

MAX_SEED = 2**53 - 1
"""The largest seed: JSON files and tables of results hold it exactly."""
Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]


def _check_path(path: str) -> str:
    if not path:
        raise ValueError("an empty path would mean the current folder; give '.' for it")
    return path


# Not Field(min_length=1), with which pydantic refuses paths that are not UTF-8.
PathText = Annotated[str, AfterValidator(_check_path)]
"""A path that is not empty."""


class Recipe(BaseModel):
    """Base class of all recipes and their sections.

    Instances are frozen, and unknown keys, NaN and infinities are refused.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ModelRecipe(Recipe):
    """A network by its registry name; ``options`` are those of the architecture (width, expansion, ...)."""

    name: str = "iresnet50"
    size: int = Field(112, ge=32, le=256, description="side of the input image in pixels")
    embedding: int = Field(
        512, gt=0, le=65_536, description="dimension of the embedding; a softmax head has one output per class instead"
    )
    normalization: str = Field("unit", description="pixel normalization: unit, cifar10, cifar100, imagenet")
    options: dict[str, Any] = Field(default_factory=dict)


class StudentRecipe(ModelRecipe):
    """The network of a student."""

    name: str = "mobilefacenet"
    weights: str = Field(
        "", description="a model of facekd whose weights the student begins with; it describes the network as well"
    )
    compatible: bool = Field(
        True, description="answer in the teacher's space: the embedding has the teacher's length, or a linear layer of "
                          "the student maps it to that; false: the layer serves the training only"
    )


class HeadRecipe(Recipe):
    """A margin head for faces, by the name of its margin (``arcface``, ``cosface``, ``adaface``, ...), or ``softmax``.

    A network with a margin head embeds people who are not in the training set. With a softmax head the network
    classifies a closed set of classes, and its outputs are logits.
    """

    name: str = "arcface"
    scale: float = Field(64.0, gt=0)
    margin: float | None = Field(None, ge=0, lt=3.15, description="null: the default of the margin")
    sample_rate: float = Field(
        1.0, gt=0, le=1, description="fraction of the negative classes that a step samples (Partial FC)"
    )
    sub_centers: int = Field(
        1, ge=1, le=100, description="centers per class; several tolerate label noise (sub-center ArcFace uses 3)"
    )
    options: dict[str, Any] = Field(
        default_factory=dict, description="options of the margin, e.g. {concentration: 0.333}"
    )

    @property
    def closed_set(self) -> bool:
        """Whether the network classifies the classes of the training set, and does not embed faces."""
        return self.name == "softmax"


class AugmentationRecipe(Recipe):
    """The augmentation of training images, a function of (augmentation.seed, epoch, image index) alone."""

    kind: Literal["auto", "plain", "flip", "camera", "crop", "resized-crop"] = Field(
        "auto", description="auto: crop for a softmax head, else flip; camera: JPEG, blur, distance and light, and flip"
    )
    versions: int = Field(
        8, ge=0, le=1000, description="camera: versions of each image, each of which the teacher cache holds; 0: every "
                                      "epoch has its own"
    )
    borders: Literal["keep", "fill", "jitter"] = Field(
        "keep", description="black borders of aligned faces; fill: the mean color of the image; jitter: a random color"
    )
    padding: int = Field(4, ge=0, le=128, description="crop: black pixels around the image before the random crop")
    seed: Seed = Field(
        0, description="separate from the seed of the run, so that runs can share cached teacher outputs"
    )

    @model_validator(mode="after")
    def _check_versions(self) -> AugmentationRecipe:
        if self.versions != type(self).model_fields["versions"].default and self.kind != "camera":
            raise ValueError(f"versions has no effect with kind={self.kind}; set kind=camera, or leave it out")
        return self


class DataRecipe(Recipe):
    """The part of the training set that is used; all runs of a comparison need the same values."""

    labels: bool | None = Field(
        None, description="of faces; null: as the layout says; false: the set has no labels; true: the first level of "
                          "subfolders are people, whatever lies below"
    )
    root: str = Field("", description="folder from which the paths of a text list start; empty: the folder of the list")
    classes: int = Field(0, ge=0, description="number of classes to use, the first ones of a class set; 0: all")
    val_fraction: float = Field(
        0.0, ge=0, lt=0.5, description="fraction of the images held out of training, for the cosine to the teacher on "
                                       "them, and for greedy plans"
    )
    samples_per_class: int = Field(
        0, ge=0, description="images per identity in a batch (balanced batches), at least 2; 0: shuffled"
    )
    max_unreadable_images: int = Field(
        0, ge=0, description="number of unreadable images to tolerate; the run lists them"
    )
    augmentation: AugmentationRecipe = Field(default_factory=AugmentationRecipe)

    @field_validator("samples_per_class")
    @classmethod
    def _check_samples(cls, value: int) -> int:
        if value == 1:
            raise ValueError("a balanced batch has at least 2 images per identity; 0 draws them shuffled")
        return value


class TrainingRecipe(Recipe):
    """Optimizer and learning rate schedule; the schedule covers one cycle, and a step is a step of the optimizer."""

    epochs: float = Field(
        20.0, gt=0, le=1e6, description="total number of epochs; distill divides them among the stages of the plan"
    )
    batch_size: int = Field(128, ge=2, le=2**20, description="images per forward pass, summed over all processes")
    gradient_accumulation_steps: int = Field(
        1, ge=1, le=2**20, description="batches per optimizer step; batch normalization sees one batch at a time"
    )
    optimizer: Literal["sgd", "adamw"] = "sgd"
    learning_rate: float = Field(0.1, gt=0, description="peak learning rate; about 0.001 suits adamw")
    lr_schedule: Literal["cosine", "step", "poly", "constant", "onecycle"] = "cosine"
    cycle: Literal["stage", "run"] = Field(
        "stage", description="stage: learning rate and optimizer state begin anew in every stage; run: in none"
    )
    warmup_epochs: float = Field(0.5, ge=0, description="epochs of linear warm-up; onecycle has its own warm-up")
    warmup_steps: int = Field(0, ge=0, le=10**9, description="warm-up in steps in place of epochs, also for onecycle")
    milestones: list[float] = Field(default_factory=lambda: [0.6, 0.85], description="step: rising fractions of the "
                                                                                     "cycle")
    gamma: float = Field(0.1, gt=0, le=1, description="step: learning rate factor at each milestone")
    momentum: float = Field(0.9, ge=0, lt=1, description="momentum of sgd, or beta 1 of adamw")
    weight_decay: float = Field(5e-4, ge=0)
    decay_all: bool = Field(
        False, description="also decay biases, normalization layers and PReLU slopes, as the CIFAR benchmarks do"
    )
    clip_grad_norm: float = Field(5.0, gt=0, description="maximum gradient norm of the network, and of the head")
    sync_batchnorm: bool = Field(False, description="compute batch statistics over all processes, not per process")
    ema_decay: float = Field(
        0.0, ge=0, lt=1, description="decay of an exponential moving average of the weights, e.g. 0.999; 0: none"
    )

    @field_validator("milestones")
    @classmethod
    def _check_milestones(cls, value: list[float]) -> list[float]:
        if not all(0 <= share < 1 for share in value) or not all(first < second for first, second in pairwise(value)):
            raise ValueError("milestones are rising fractions of the cycle, at least 0 and below 1")
        return value

    @model_validator(mode="after")
    def _check_warmup(self) -> TrainingRecipe:
        default = type(self).model_fields["warmup_epochs"].default
        if self.warmup_steps and self.warmup_epochs != default:
            raise ValueError("warmup_steps and warmup_epochs both set the length of the warm-up; leave one of them out")
        if self.lr_schedule == "onecycle" and self.warmup_epochs != default:
            raise ValueError("onecycle does not use warmup_epochs; leave it out, or give warmup_steps")
        if self.warmup_epochs >= self.epochs and self.warmup_epochs != default:
            raise ValueError(f"a warm-up of {self.warmup_epochs:g} epochs leaves nothing of {self.epochs:g}; "
                             "set warmup_epochs lower, or epochs higher")
        return self


class MachineRecipe(Recipe):
    """Device, precision, memory and checkpoints; ``auto`` chooses by the hardware."""

    device: str = Field("auto", pattern=r"^(auto|cpu|mps|cuda(:\d{1,3})?)$", description="auto, cpu, cuda, cuda:1, mps")
    precision: Literal["auto", "float32", "bfloat16", "float16"] = Field("auto", description="auto: bfloat16 on CUDA")
    activation_checkpointing: bool = Field(
        False, description="recompute blocks in the backward pass: less memory, more time"
    )
    compile: bool = Field(False, description="torch.compile; on a CPU it needs g++")
    threads: int = Field(0, ge=0, le=65_536, description="CPU threads of torch; 0: one per core")
    decoded_cache_gib: float = Field(
        2.0, ge=0, le=65_536, description="memory for decoded images in GiB; a larger training set is decoded again "
                                          "in every epoch"
    )
    keep_checkpoints: int = Field(2, ge=1, description="number of checkpoints to keep, the newest ones")
    checkpoint_every_minutes: float = Field(
        10.0, gt=0, le=1e6, description="maximum time between two checkpoints; each epoch ends with one as well"
    )


class RouteRecipe(Recipe):
    """Recorded route points; the last step before each learning rate drop and the final step are always recorded."""

    every_epochs: float = Field(
        1.0, ge=0, le=1e6, description="epochs between two points, also a fraction of one; 0: no route is recorded"
    )
