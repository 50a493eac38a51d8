"""The recipe of ``facekd distill``."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import (
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from facekd.config.common import (
    DataRecipe,
    HeadRecipe,
    MachineRecipe,
    PathText,
    Recipe,
    RouteRecipe,
    Seed,
    StudentRecipe,
    TrainingRecipe,
)


class LossRecipe(Recipe):
    """A term of the objective: its weight and the options of the loss, e.g. ``{weight: 0.9, temperature: 4}``.

    A bare number is the weight. ``begin`` and ``end`` limit the term to a part of the training: a hint during the
    first fifth has ``end: 0.2``.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    weight: float | None = Field(None, ge=0, description="0 removes the term; null: the default weight of the loss")
    begin: float = Field(0.0, ge=0, lt=1, description="progress of the training (0 to 1) at which the term starts")
    end: float = Field(1.0, gt=0, le=1, description="progress of the training (0 to 1) at which the term ends")

    @model_validator(mode="before")
    @classmethod
    def _accept_number(cls, value: Any) -> Any:
        return {"weight": value} if isinstance(value, (int, float)) and not isinstance(value, bool) else value

    @model_serializer(mode="wrap")
    def _drop_unset(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # A field that was not set stays unset in the written recipe, so that a method's value for it applies again
        # when the recipe is read.
        return {key: value for key, value in serialize(self).items() if key in self.model_fields_set}

    @property
    def options(self) -> dict[str, Any]:
        """The options of the loss: every key except weight, begin and end."""
        return dict(self.model_extra or {})


class JointTeacherRecipe(Recipe):
    """The teacher of an online method (``prokt``, ``dml``), trained jointly with the student.

    The plan names its architecture and the point with its initial weights.
    """

    fresh: bool | None = Field(
        None, description="start from random weights, not from the plan's point; null: true for dml, false for prokt"
    )
    lr_scale: float | None = Field(
        None, gt=0, description="factor on its learning rate; null: 1 with random initial weights, else 0.3"
    )
    student_weight: float = Field(0.3, ge=0, le=1, description="prokt: lambda, the weight of the KL to the student")
    mode: Literal["penalty", "dual"] = Field(
        "penalty", description="prokt: penalty uses lambda; dual adapts a multiplier that keeps the KL near epsilon"
    )
    epsilon: float = Field(1.0, ge=0, description="prokt, dual: the KL to the student that is not penalized")
    dual_lr: float = Field(1e-3, gt=0, description="prokt, dual: learning rate of the multiplier")
    zero_init_classifier: bool = Field(
        True, description="prokt, fresh: initialize the last layer of both classifiers with zeros"
    )

    def with_defaults(self, fresh: bool) -> JointTeacherRecipe:
        """Return a copy in which ``fresh`` and ``lr_scale`` are not None.

        ProKT's authors start from a trained teacher, at 0.3 of the student's learning rate (their recipe for BERT with
        six layers, the larger of two); both networks of deep mutual learning start from random weights.

        Args:
            fresh: the default of the online method for ``fresh``.
        """
        is_fresh = fresh if self.fresh is None else self.fresh
        lr_scale = self.lr_scale
        if lr_scale is None:
            lr_scale = 1.0 if is_fresh else 0.3
        return self.model_copy(update={"fresh": is_fresh, "lr_scale": lr_scale})


class FeatureLayersRecipe(Recipe):
    """The modules whose feature maps the losses read; an empty list means the network stages of the architecture."""

    student: list[str] = Field(
        default_factory=list, description="network stages or module paths of the student, from shallow to deep"
    )
    teacher: list[str] = Field(
        default_factory=list, description="network stages or module paths of the teacher, from shallow to deep"
    )


class DistillRecipe(Recipe):
    """``facekd distill``: train a student along the anchors of a plan."""

    dataset: PathText = Field(description="the training set: faces, or classes for a softmax head")
    plan: PathText = Field(description="plan.json written by 'facekd plan'")
    out: PathText = Field(description="the run folder to create or to continue")
    data: DataRecipe = Field(default_factory=DataRecipe)
    student: StudentRecipe = Field(default_factory=StudentRecipe)
    method: str = Field(
        "", description="names joined by +, each with its default weight, e.g. 'kd + rkd'; see 'facekd methods'"
    )
    losses: dict[str, LossRecipe] = Field(
        default_factory=dict, description="labels or registered losses with weights; they override those of the method"
    )
    joint_teacher: JointTeacherRecipe = Field(default_factory=JointTeacherRecipe)
    feature_layers: FeatureLayersRecipe = Field(default_factory=FeatureLayersRecipe)
    route: RouteRecipe = Field(
        RouteRecipe(every_epochs=0), description="the student's own route, for a student that becomes a teacher"
    )
    head: HeadRecipe = Field(default_factory=HeadRecipe)
    training: TrainingRecipe = Field(default_factory=TrainingRecipe)
    held_out_images: int = Field(
        1024, ge=0, description="images of data.val_fraction, at most, on which the cosine to the teacher is measured "
                                "after every epoch; 0: none"
    )
    teacher_cache: Literal["float16", "float32", "off"] = Field(
        "float16", description="dtype of cached teacher outputs; off: the teacher runs live"
    )
    machine: MachineRecipe = Field(default_factory=MachineRecipe)
    seed: Seed = 0

    @field_validator("teacher_cache", mode="before")
    @classmethod
    def _accept_false(cls, value: Any) -> Any:
        return "off" if value is False else value  # YAML reads a bare 'off' as false

    @model_validator(mode="after")
    def _check_held_out(self) -> DistillRecipe:
        default = type(self).model_fields["held_out_images"].default
        if self.held_out_images not in (0, default) and not self.data.val_fraction:
            raise ValueError("held_out_images has no effect, because data.val_fraction holds no images out; set "
                             "data.val_fraction=0.05, or leave held_out_images out")
        return self
