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
    Recipe,
    RouteRecipe,
    ScheduleRecipe,
    StudentRecipe,
)


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

    fresh: bool | None = Field(
        None, description="begin with fresh weights; false: with those of the plan's point; null: dml true, prokt false"
    )
    pace: float | None = Field(
        None, gt=0, description="factor on its learning rate; null: 1 for fresh weights, 0.3 for those of a point"
    )
    pull: float = Field(0.3, ge=0, le=1, description="prokt: lambda, how strongly the student draws it")
    mode: Literal["penalty", "dual"] = Field("penalty", description="prokt: dual adapts the pull to keep to slack")
    slack: float = Field(1.0, ge=0, description="prokt, dual: the distance to the student that costs nothing")
    step: float = Field(1e-3, gt=0, description="prokt, dual: how fast the pull follows the distance")
    uniform: bool = Field(True, description="prokt, fresh: last layers of classifiers begin at 0")

    def settled(self, method: str) -> PartnerRecipe:
        """With what ``null`` means for a method written out.

        ProKT's authors begin with a trained teacher, at 0.3 of the student's learning rate (their recipe for BERT with
        six layers, the larger of two); the peers of deep mutual learning both begin fresh.
        """
        fresh = method == "dml" if self.fresh is None else self.fresh
        pace = (1.0 if fresh else 0.3) if self.pace is None else self.pace
        return self.model_copy(update={"fresh": fresh, "pace": pace})


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
