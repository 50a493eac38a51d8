"""What a recipe can say: a typed tree; `facekd.recipes` reads it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)


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
    """``arcface`` (margin 0.5 unless given) or ``cosface`` (0.35) for faces, ``softmax`` for classes.

    A margin head serves people who are not in the training set; under a softmax head the network's outputs are the
    logits of a closed set of classes.
    """

    name: str = "arcface"
    scale: float = Field(64.0, gt=0)
    margin: float | None = Field(None, ge=0, lt=3.15, description="None: the head's own")

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
    views: ViewsRecipe = Field(default_factory=ViewsRecipe)


class ScheduleRecipe(Recipe):
    """SGD and its learning rate over one stage; warm-up and drops are counted in epochs of that stage."""

    epochs: float = Field(20.0, gt=0, description="epochs in all; distill shares them among its stages")
    batch: int = Field(128, ge=2)
    learning_rate: float = Field(0.1, gt=0, description="peak rate for this batch")
    shape: Literal["cosine", "step", "poly", "constant"] = "cosine"
    warmup: float = Field(0.5, ge=0, description="epochs of linear warm-up")
    milestones: list[float] = Field(default_factory=lambda: [0.6, 0.85], description="step: fractions of the stage")
    gamma: float = Field(0.1, gt=0, le=1, description="step: factor at each milestone")
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(5e-4, ge=0)
    decay_all: bool = Field(False, description="also biases, norms and PReLU slopes, as the CIFAR benchmarks do")
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

    every: float = Field(1.0, ge=0, description="epochs between two points; 0 records no route")


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


class LossRecipe(Recipe):
    """A term of the loss: its weight, and the loss's own options beside it, e.g. ``{weight: 0.9, temperature: 4}``.

    ``begin`` and ``end`` let it count during a part of the training only: a hint of the first fifth has ``end: 0.2``.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    weight: float | None = Field(None, ge=0, description="0 leaves the term out; None: the loss's usual weight")
    begin: float = Field(0.0, ge=0, lt=1, description="share of the training that is done when it begins to count")
    end: float = Field(1.0, gt=0, le=1, description="share of the training that is done when it ceases to")

    @model_validator(mode="before")
    @classmethod
    def _number(cls, value: Any) -> Any:
        return {"weight": value} if isinstance(value, (int, float)) and not isinstance(value, bool) else value

    @model_serializer(mode="wrap")
    def _said(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # What was left out is left out again: where a recipe is read back, a method's own value shall stand there.
        return {key: value for key, value in dump(self).items() if key in self.model_fields_set}

    @property
    def options(self) -> dict[str, Any]:
        """What stands beside the weight."""
        return dict(self.model_extra or {})


class PartnerRecipe(Recipe):
    """A teacher that is trained beside its student (methods ``prokt`` and ``dml``); the plan names its architecture."""

    fresh: bool = Field(True, description="begin with fresh weights; false: with those of the plan's point")
    pace: float = Field(1.0, gt=0, description="factor on its learning rate")
    pull: float = Field(0.3, ge=0, le=1, description="prokt: lambda, how strongly the student draws it")
    mode: Literal["penalty", "dual"] = Field("penalty", description="prokt: dual adapts the pull to keep to slack")
    slack: float = Field(1.0, ge=0, description="prokt, dual: the distance to the student that costs nothing")
    step: float = Field(1e-3, gt=0, description="prokt, dual: how fast the pull follows the distance")
    uniform: bool = Field(True, description="prokt, fresh: last layers of classifiers begin at 0")


class TapsRecipe(Recipe):
    """Where losses look inside; nothing given means the stages that the network's file names."""

    student: list[str] = Field(default_factory=list, description="stages or module paths, shallow to deep")
    teacher: list[str] = Field(default_factory=list, description="likewise")


class DistillRecipe(Recipe):
    """``facekd distill``: train a student along the anchors of a plan."""

    faces: str = Field(description="the training set: of faces, or with a softmax head of classes")
    plan: str = Field(description="plan.json written by 'facekd plan'")
    out: str = Field(description="the run folder to make or to continue")
    data: DataRecipe = Field(default_factory=DataRecipe)
    student: StudentRecipe = Field(default_factory=StudentRecipe)
    method: str = Field(
        "", description="names joined by +, with their usual weights, e.g. 'kd + rkd'; see 'facekd methods'"
    )
    losses: dict[str, LossRecipe] = Field(
        default_factory=dict, description="labels, or a registered loss, with weights; on top of the method's"
    )
    partner: PartnerRecipe = Field(default_factory=PartnerRecipe)
    taps: TapsRecipe = Field(default_factory=TapsRecipe)
    route: RouteRecipe = Field(RouteRecipe(every=0), description="a student that is to teach others records one too")
    head: HeadRecipe = Field(default_factory=HeadRecipe)
    schedule: ScheduleRecipe = Field(default_factory=ScheduleRecipe)
    cache: Literal["float16", "float32", "off"] = Field("float16", description="how anchors' outputs are kept")
    machine: MachineRecipe = Field(default_factory=MachineRecipe)
    seed: int = Field(0, ge=0)

    @field_validator("cache", mode="before")
    @classmethod
    def _off(cls, value: Any) -> Any:
        return "off" if value is False else value  # what YAML makes of a bare 'off'


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
