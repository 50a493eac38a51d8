"""The contract between the training loop and what it trains."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import ClassVar

from torch import Tensor, nn

from facekd.data.loading.loader import Batch

LossClosure = Callable[[], dict[str, Tensor]]
"""Computes named, weighted loss terms (scalars, float32)."""


@dataclass(frozen=True)
class Stage:
    """A part of a training with one target; by default it has a learning-rate cycle of its own, see `TrainingRecipe`.

    Attributes:
        until: the epoch of the whole training at which the stage ends; need not be a whole number.
        anchors: the route points whose mean the student follows in this stage; empty without a teacher.
    """

    until: float
    anchors: tuple[int, ...] = ()


@dataclass(frozen=True)
class CheckpointEvent:
    """The argument of ``on_checkpoint``.

    Attributes:
        step: steps done in all.
        epoch: epochs done in all.
        learning_rate: the learning rate of the last step.
        reason: ``"last"``, ``"before drop"``, ``"epoch"`` or ``"interval"``.
        metrics: the means that were logged last.
    """

    step: int
    epoch: float
    learning_rate: float
    reason: str
    metrics: dict[str, float]


class Method(nn.Module, ABC):
    """Owns the network in training and all that its losses need; the loop knows nothing about either.

    The submodules (student, head, projection) are trained, and the gradients of each are clipped separately. Frozen
    teachers must not be submodules: the state dict of the method is what a checkpoint contains.

    Attributes:
        student: the network that the run writes at the end.
        all_parameters_used: True if every backward pass reaches every parameter, which allows DistributedDataParallel
            with ``find_unused_parameters=False``.
        lr_scales: factors on the learning rate of submodules, by name; 1 for all others.
        metrics: what the last call of `losses` measured: logged by name, and not minimized (scalars without gradient).
    """

    student: nn.Module
    all_parameters_used: ClassVar[bool] = False
    lr_scales: Mapping[str, float] = MappingProxyType({})
    metrics: Mapping[str, Tensor] = MappingProxyType({})

    def on_stage_start(self, stage: Stage) -> None:
        """Prepare for a stage, e.g. load its anchor; called once before its first step, and after a resume."""

    @property
    def networks(self) -> list[nn.Module]:
        """The networks that the machine's memory layout and compilation are applied to."""
        return [self.student]

    @abstractmethod
    def losses(self, batch: Batch, progress: float) -> dict[str, Tensor]:
        """Compute the named, weighted loss terms of a batch (scalars, float32); the loop minimizes their sum.

        Args:
            batch: the images and labels.
            progress: share of the training steps that are done, in [0, 1).
        """

    def optimizer_passes(self, batch: Batch, progress: float) -> list[LossClosure]:
        """Return the losses of a batch, one closure for each optimizer step, the student's step last.

        By default there is one step, on `losses`. Where networks are trained alternately, the second closure is
        called after the step of the first. A step leaves parameters without a gradient unchanged.
        """
        return [partial(self.losses, batch, progress)]

    def after_step(self, progress: float) -> None:
        """Update what is not trained by the optimizer, after all optimizer steps of a batch; by default nothing."""
